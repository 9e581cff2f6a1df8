#!/usr/bin/env bash
# Prepares the virtual machine's cache and runs the tests in it; says why where that is not possible.
# Further arguments go to vitest.
set -uo pipefail
cd "$(dirname "$0")/../.."
last=$(mktemp)
trap 'rm -f "$last"' EXIT
scripts/vm/prepare.sh | tee "$last" || exit 1
case $(tail -n 1 "$last") in
  "ready "*) export TLSKEEP_VM=$(tail -n 1 "$last" | cut -d ' ' -f 2-) ;;
  *) exit 0 ;;
esac
node_modules/.bin/vitest run test/vm --reporter=verbose "$@"
