#!/usr/bin/env bash
# Packs the enclave's container image into an enclave image file by nitro-cli, and makes sure that the
# file is what was asked for: its measurements are computed once more by tlskeep, and an image that was
# to be signed is (nitro-cli has been seen to write an unsigned one and to succeed). Prints the PCRs
# and writes them, as JSON, to OUTPUT with `.pcrs.json` in place of `.eif`.
#
#   scripts/build-eif.sh DOCKER_URI OUTPUT [PRIVATE_KEY SIGNING_CERTIFICATE]
#
# PRIVATE_KEY is a file in PEM or the ARN of a KMS key. NITRO_CLI names the command, `nitro-cli` by default.
set -euo pipefail
if [ $# != 2 ] && [ $# != 4 ]; then
  echo "usage: $0 DOCKER_URI OUTPUT [PRIVATE_KEY SIGNING_CERTIFICATE]" >&2
  exit 2
fi
uri=$1 output=$2
signing=() required=()
if [ $# = 4 ]; then
  for file in "$3" "$4"; do
    [[ $file == "$3" && $file == arn:*:kms:* ]] || [ -r "$file" ] || { echo "cannot read $file" >&2; exit 1; }
  done
  signing=(--private-key "$3" --signing-certificate "$4")
  required=(--require-signed)
fi
tlskeep=(node "$(dirname "$0")/../dist/parent/cli.js")
pcrs=${output%.eif}.pcrs.json
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${NITRO_CLI:-nitro-cli}" build-enclave --docker-uri "$uri" --output-file "$output" \
  "${signing[@]}" >"$work/nitro-cli.json"
# What cannot be vouched for must not lie where the next step looks for it.
refuse() {
  rm -f "$pcrs"
  mv "$output" "$output.refused"
  echo "$*: $output.refused" >&2
  exit 1
}
"${tlskeep[@]}" eif pcrs --json "${required[@]}" "$output" >"$work/tlskeep.json" ||
  refuse "the image is not what was asked for"
node -e '
  const { readFileSync } = require("node:fs")
  const [nitro, own] = process.argv.slice(1).map((path) => JSON.parse(readFileSync(path)).Measurements)
  const names = ["PCR0", "PCR1", "PCR2", "PCR8"]
  process.exitCode = names.every((name) => nitro[name] === own[name]) ? 0 : 1
' "$work/nitro-cli.json" "$work/tlskeep.json" || refuse "nitro-cli and tlskeep measure differently"
cp "$work/tlskeep.json" "$pcrs"
"${tlskeep[@]}" eif pcrs "${required[@]}" "$output"
echo "measurements: $pcrs"
