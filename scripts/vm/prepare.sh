#!/usr/bin/env bash
# Fills the cache that the virtual machine's tests need: QEMU with a signing Nitro Secure Module, its
# firmware, vhost-device-vsock, a kernel, the image's Node.js. What is there is kept. Prints each step; the
# last line is `ready FOLDER`, or `skipped: REASON` (with exit code 0) where packages cannot be had.
#
#   scripts/vm/prepare.sh
#
# TLSKEEP_VM names the cache, by default ~/.cache/tlskeep/vm.
set -uo pipefail
cd "$(dirname "$0")/../.."
cache=${TLSKEEP_VM:-${XDG_CACHE_HOME:-$HOME/.cache}/tlskeep/vm}
. scripts/lane.sh
. scripts/image-node.sh
. scripts/vm/apt.sh
. scripts/vm/qemu.sh
. scripts/vm/guest.sh

[ "$(uname -m)" = x86_64 ] || skip "the virtual machine is an x86_64 one"
hold_cache "$cache"

steps=6
step "package lists of the suites that are needed" private_apt "$cache/apt"
step "the guest's kernel" fetch_kernel "$cache/kernel"
step "the guest's Node.js" fetch_image_node "$cache/node"
step "vhost-device-vsock" fetch_vsock "$cache/bin"
step "firmware" fetch_firmware "$cache/firmware"
step "QEMU from source, which takes minutes" build_qemu "$cache/qemu" test/vm/qemu
echo "ready $cache"
