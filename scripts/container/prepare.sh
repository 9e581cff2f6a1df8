#!/usr/bin/env bash
# Fills the cache that the container image's tests need: buildah's storage with a base image for the build
# stage. What is there is kept. Prints each step; the last line is `ready FOLDER`, or `skipped: REASON`
# (with exit code 0) where packages cannot be had.
#
#   scripts/container/prepare.sh
#
# TLSKEEP_CONTAINERS names the cache, by default ~/.cache/tlskeep/containers.
set -uo pipefail
cd "$(dirname "$0")/../.."
cache=${TLSKEEP_CONTAINERS:-${XDG_CACHE_HOME:-$HOME/.cache}/tlskeep/containers}
. scripts/lane.sh
. scripts/image-node.sh
. scripts/vm/apt.sh
. scripts/container/base.sh

[ "$(id -u)" = 0 ] || skip "debootstrap and buildah need root"
[ "$(uname -m)" = x86_64 ] || skip "the base image's Node.js is an x86_64 one"
hold_cache "$cache"
use_storage "$cache"

steps=5
step "package lists" private_apt "$cache/apt"
step "buildah and debootstrap" require_packages buildah debootstrap
step "the image's Node.js" fetch_image_node "$cache/node"
step "Debian 12 by debootstrap" debootstrap_into "$cache/debian"
step "base image" commit_base "$cache/debian" "$cache/node"
echo "ready $cache"
