# Makes the base image of the container lane's build stage, where there is no registry of images: a Debian 12
# by debootstrap with the image's Node.js and this machine's npm in it. To be sourced in the checkout's root
# after apt.sh and image-node.sh.

# Neither namespaces nor an overlay file system are to be had everywhere.
export BUILDAH_ISOLATION=chroot

# The image's name, another one for every way of making it.
BASE_IMAGE=localhost/tlskeep-node:$IMAGE_NODE_VERSION-$(sha256sum scripts/container/base.sh | cut -c 1-8)

# Has buildah keep its images below $1.
use_storage() {
  mkdir -p "$1"
  printf '[storage]\ndriver = "vfs"\ngraphroot = "%s/storage"\nrunroot = "%s/run"\n' "$1" "$1" >"$1/storage.conf"
  export CONTAINERS_STORAGE_CONF=$1/storage.conf
}

# Debian's part into folder $1, by debootstrap; what it prints goes to $1.log.
debootstrap_into() {
  local dir=$1
  [ ! -e "$dir.made" ] || return 0
  rm -rf "$dir"
  if ! debootstrap --variant=minbase --include=ca-certificates bookworm "$dir" "$(debian_mirror)" >"$dir.log" 2>&1; then
    tail -n 5 "$dir.log" >&2
    return 1
  fi
  touch "$dir.made"
}

# The Debian 12 that this machine installs from, security updates among it, as lines of a sources.list.
debian_sources() {
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(CREATED_BY)' |
    awk '$2 ~ /^bookworm(-updates|-security)?$/ && $3 == "main" && $4 == "Packages" { print "deb", $1, $2, $3 }'
}

# BASE_IMAGE of folder $1 with the Node.js of folder $2. One that is there is kept, former ones are not.
commit_base() {
  local dir=$1 node=$2 container npm root former
  ! buildah inspect --type image "$BASE_IMAGE" >/dev/null 2>&1 || return 0
  former=$(buildah images --quiet --filter reference=localhost/tlskeep-node)
  # shellcheck disable=SC2086
  [ -z "$former" ] || buildah rmi --force $former >/dev/null
  npm=$(readlink -f "$(dirname "$(readlink -f "$(command -v npm)")")/..")
  container=$(buildah from scratch) || return 1
  root=$(buildah mount "$container")
  cp -a "$dir/." "$root/"
  install -m 755 "$node/node" "$root/usr/bin/node"
  mkdir -p "$root/usr/lib/node_modules"
  cp -a "$npm" "$root/usr/lib/node_modules/npm"
  ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/bin/npm"
  # Packages come from where this machine gets them, and are vouched for by whom it trusts. All of this
  # is the build stage's; the image is empty but for what that copies into it.
  debian_sources >"$root/etc/apt/sources.list"
  cp -L /etc/ssl/certs/ca-certificates.crt "$root/root/ca.crt"
  printf 'registry=%s\ncafile=/root/ca.crt\nupdate-notifier=false\n' \
    "$(npm config get registry 2>/dev/null)" >"$root/root/.npmrc"
  buildah commit -q --rm "$container" "$BASE_IMAGE" >/dev/null
}
