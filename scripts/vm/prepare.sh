#!/usr/bin/env bash
# Fills the cache that the virtual machine's tests need: QEMU with a signing Nitro Secure Module, its
# firmware, vhost-device-vsock, a kernel. What is there is kept. Prints each step; the last line is
# `ready FOLDER`, or `skipped: REASON` (with exit code 0) where packages cannot be had.
#
#   scripts/vm/prepare.sh
#
# TLSKEEP_VM names the cache, by default ~/.cache/tlskeep/vm.
set -uo pipefail
cd "$(dirname "$0")/../.."
cache=${TLSKEEP_VM:-${XDG_CACHE_HOME:-$HOME/.cache}/tlskeep/vm}
. scripts/vm/apt.sh
. scripts/vm/qemu.sh
. scripts/vm/guest.sh

skip() {
  echo "skipped: $*"
  exit 0
}

steps=5 at=0
step() {
  local title=$1 problem started=$SECONDS
  shift
  at=$((at + 1))
  echo "[$at/$steps] $title"
  problem=$(mktemp)
  if ! "$@" 2>"$problem"; then
    cat "$problem" >&2
    skip "$title: $(tail -n 1 "$problem" | cut -c 1-200)"
  fi
  rm -f "$problem"
  echo "      done in $((SECONDS - started)) s"
}

[ "$(uname -m)" = x86_64 ] || skip "the virtual machine is an x86_64 one"
mkdir -p "$cache" || skip "$cache cannot be made"
# Two runs at once would build in the same folders.
exec 9>"$cache/lock"
flock -w 3600 9 || skip "another run holds $cache"

step "package lists of the suites that are needed" private_apt "$cache/apt"
step "the guest's kernel" fetch_kernel "$cache/kernel"
step "vhost-device-vsock" fetch_vsock "$cache/bin"
step "firmware" fetch_firmware "$cache/firmware"
step "QEMU from source, which takes minutes" build_qemu "$cache/qemu" test/vm/qemu
echo "ready $cache"
