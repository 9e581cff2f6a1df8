#!/usr/bin/env bash
# Runs the tests of what is in the enclave image by the Node.js that is in it, which is newer than what
# hosts have; says why where that is not possible. Arguments go to vitest.
set -uo pipefail
cd "$(dirname "$0")/../.."
. scripts/lane.sh
prepared_by scripts/container/prepare.sh
echo "Node.js $("$ready/node/node" --version)"
"$ready/node/node" node_modules/vitest/vitest.mjs run test/enclave test/addon test/nsm test/attestation test/shared \
  --reporter=default "$@"
