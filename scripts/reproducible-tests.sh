#!/usr/bin/env bash
# Builds the enclave's root file system from clean sources, twice, and compares: minutes of compiling, which
# is why it is no part of the other tests. Arguments go to vitest.
set -euo pipefail
cd "$(dirname "$0")/.."
exec node_modules/.bin/vitest run test/reproducible --reporter=verbose "$@"
