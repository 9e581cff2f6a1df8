#!/usr/bin/env bash
# Builds an enclave image file for the virtual machine: our init and the kernel's modules as the first
# ramdisk, Node.js and the program as the second. Prints its PCRs as JSON.
#
#   scripts/vm/make-image.sh IMAGE_FOLDER OUTPUT [PRIVATE_KEY SIGNING_CERTIFICATE]
#
# IMAGE_FOLDER is what scripts/bundle-image.mjs made. TLSKEEP_VM is the cache that scripts/vm/prepare.sh
# filled. HEARTBEAT_CID is the parent's CID, by default the one that vhost-device-vsock gives the host.
# FIRST_MODULE names a module of the cache that the guest loads before its generator of random numbers, the
# NSM: virtio-rng is one.
set -euo pipefail
image=$(realpath "$1")
output=$(realpath -m "$2")
signing=()
if [ $# = 4 ]; then
  signing=(--private-key "$(realpath "$3")" --signing-certificate "$(realpath "$4")")
fi
cache=${TLSKEEP_VM:?the cache of scripts/vm/prepare.sh}
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/boot/modules"
cc -static -Os -s -std=c11 -Wall -Wextra -Werror "-DPARENT_CID=${HEARTBEAT_CID:-2}u" \
  -o "$work/boot/init" native/init/init.c
cp "$cache"/kernel/modules/*.ko "$work/boot/modules/"
if [ -n "${FIRST_MODULE:-}" ]; then
  nsm=$(basename "$work"/boot/modules/*-nsm.ko)
  cp "$cache/kernel/other/$FIRST_MODULE.ko" "$work/boot/modules/${nsm%-nsm.ko}-$FIRST_MODULE.ko"
  mv "$work/boot/modules/$nsm" "$work/boot/modules/$((${nsm%-nsm.ko} + 1))-nsm.ko"
fi
# As Dockerfile.enclave has them.
printf '%s\n' /usr/bin/node --max-semi-space-size=2 /opt/tlskeep/enclave.mjs >"$work/boot/cmd"
printf '%s\n' NODE_ENV=production MALLOC_TRIM_THRESHOLD_=131072 >"$work/boot/env"
node scripts/enclave-root.mjs "$image" "$work/application" "$cache/node/node" >&2
for part in boot application; do
  node scripts/make-cpio.mjs "$work/$part" "$work/$part.cpio"
done
node dist/parent/cli.js eif build --json --output "$output" \
  --kernel "$cache/kernel/vmlinuz" --kernel-version "$(cat "$cache/kernel/version")" \
  --cmdline "console=ttyS0 reboot=k panic=-1 quiet" \
  --ramdisk "$work/boot.cpio" "$work/application.cpio" "${signing[@]}"
