#!/usr/bin/env bash
# Builds an enclave's root file system from a checkout with its Node packages, and from nothing that was
# built before: the addon, the bundled program, the layout. Dockerfile.enclave runs it.
#
#   scripts/build-enclave-root.sh IMAGE ROOT [NODE]
#
# IMAGE is `enclave` or `enclave-general`; ROOT is the folder to make; NODE is the runtime that goes in,
# by default the one that runs the build.
set -euo pipefail
image=$1 root=$(realpath -m "$2")
node=$(realpath "${3:-$(command -v node)}")
cd "$(dirname "$0")/.."
rm -rf build/addon build/native/addon "build/$image" dist
cmake -S native/addon -B build/addon -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo
cmake --build build/addon -j "${JOBS:-$(nproc)}"
node_modules/.bin/tsc -p .
node scripts/bundle-image.mjs "$image"
node scripts/enclave-root.mjs "build/$image" "$root" "$node"
