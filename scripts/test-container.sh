#!/usr/bin/env bash
# Builds Dockerfile.enclave with buildah, where there is neither a container engine nor a registry of
# images: the base comes from debootstrap, with this machine's Node.js and npm in it. Looks at what the
# image holds, and runs its Node.js. Needs root; prints `skipped: REASON` where packages are missing.
#
#   scripts/test-container.sh
#
# TLSKEEP_CONTAINERS names the cache for base and layers, by default ~/.cache/tlskeep/containers.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/vm/apt.sh
cache=${TLSKEEP_CONTAINERS:-${XDG_CACHE_HOME:-$HOME/.cache}/tlskeep/containers}
base=$cache/base
# Neither namespaces nor an overlay file system are to be had everywhere.
storage=(--root "$cache/storage" --runroot "$cache/run" --storage-driver vfs)
export BUILDAH_ISOLATION=chroot

skip() { echo "skipped: $*"; exit 0; }
[ "$(id -u)" = 0 ] || skip "debootstrap and buildah need root"
mkdir -p "$cache"
private_apt "$cache/apt" || skip "no Debian mirror"
require_packages buildah debootstrap || skip "buildah or debootstrap cannot be installed"

if [ ! -e "$base/made" ]; then
  echo "[1/4] base image by debootstrap"
  rm -rf "$base"
  debootstrap --variant=minbase --include=ca-certificates bookworm "$base" "$(debian_mirror)" \
    >"$cache/debootstrap.log" 2>&1 || { tail -n 5 "$cache/debootstrap.log" >&2; skip "debootstrap failed"; }
  node=$(readlink -f "$(command -v node)")
  install -m 755 "$node" "$base/usr/bin/node"
  mkdir -p "$base/usr/lib/node_modules"
  cp -a "$(readlink -f "$(dirname "$(readlink -f "$(command -v npm)")")/..")" "$base/usr/lib/node_modules/npm"
  ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$base/usr/bin/npm"
  # Packages come from where this machine gets them, and are vouched for by whom it trusts. All of this
  # is the build stage's; the image is empty but for what that copies into it.
  cp -L /etc/ssl/certs/ca-certificates.crt "$base/etc/ssl/certs/ca-certificates.crt"
  printf 'registry=%s\ncafile=/etc/ssl/certs/ca-certificates.crt\n' \
    "$(npm config get registry 2>/dev/null)" >"$base/root/.npmrc"
  touch "$base/made"
fi

echo "[2/4] base image into buildah"
container=$(buildah "${storage[@]}" from scratch)
buildah "${storage[@]}" add -q "$container" "$base/" / >/dev/null
buildah "${storage[@]}" commit -q --rm "$container" tlskeep-node-base >/dev/null

echo "[3/4] Dockerfile.enclave"
buildah "${storage[@]}" build -q --format docker --network host --layers=false \
  --build-arg NODE_IMAGE=localhost/tlskeep-node-base -f Dockerfile.enclave -t tlskeep-enclave . \
  >"$cache/build.log" 2>&1 || { tail -n 30 "$cache/build.log" >&2; exit 1; }

echo "[4/4] what is in it"
container=$(buildah "${storage[@]}" from tlskeep-enclave)
trap 'buildah "${storage[@]}" rm "$container" >/dev/null' EXIT
root=$(buildah "${storage[@]}" mount "$container")
find "$root" -type f | sed "s|^$root||" | sort
for forbidden in sh bash npm apt dpkg busybox perl python3; do
  if find "$root" -name "$forbidden" | grep -q .; then
    echo "the image holds $forbidden" >&2
    exit 1
  fi
done
bytes=$(du -sb "$root" | cut -f 1)
echo "$bytes bytes unpacked"
[ "$bytes" -lt 150000000 ] || { echo "over 150 MB" >&2; exit 1; }
[ "$(env -i HOME=/ /usr/sbin/chroot "$root" /usr/bin/node -p 1+1)" = 2 ] || { echo "its Node.js does not run" >&2; exit 1; }
buildah "${storage[@]}" inspect --format '{{.OCIv1.Config.Cmd}} {{.OCIv1.Config.Env}}' "$container"
echo
echo "ok"
