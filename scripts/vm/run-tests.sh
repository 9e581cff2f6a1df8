#!/usr/bin/env bash
# Prepares the virtual machine's cache, bundles the images' programs of what `make build` has built, and
# runs the tests; says why where that is not possible. Arguments go to vitest.
set -uo pipefail
cd "$(dirname "$0")/../.."
. scripts/lane.sh
prepared_by scripts/vm/prepare.sh
export TLSKEEP_VM=$ready
node scripts/bundle-image.mjs enclave && node scripts/bundle-image.mjs enclave-vm || exit 1
node_modules/.bin/vitest run test/vm --reporter=verbose "$@"
