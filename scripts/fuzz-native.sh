#!/usr/bin/env bash
# Fuzzes the native decoders with libFuzzer, each target for FUZZ_SECONDS (60) seconds, from the seeds in
# native/*/fuzz/seeds. What it finds on the way stays in build/fuzz/corpus, a failing input beside it. Arguments
# choose among the targets: answer attribute configuration mechanism (of the module), sign_message (the addon's).
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-60}
build=build/fuzz

require_packages() {
  local package lacking=()
  for package in clang libclang-rt-14-dev; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || lacking+=("$package")
  done
  [ ${#lacking[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ]; then
    echo "fuzzing needs these packages: ${lacking[*]}" >&2
    exit 1
  fi
  echo "Installing Debian packages: ${lacking[*]}"
  DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends "${lacking[@]}" >/dev/null
}

require_packages
cmake -S native -B "$build" -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  -DBUILD_TESTING=OFF -DTLSKEEP_FUZZ=ON -DTLSKEEP_SANITIZE=fuzzer-no-link,address,undefined >/dev/null
cmake --build "$build" -j "${JOBS:-$(nproc)}" --target tlskeep_fuzz

chosen=("$@")
[ ${#chosen[@]} -gt 0 ] || chosen=(answer attribute configuration mechanism sign_message)
failed=0
for target in "${chosen[@]}"; do
  program=$(echo "$build"/*/fuzz/"tlskeep_fuzz_$target")
  seeds=$(echo native/*/fuzz/seeds/"$target")
  corpus=$build/corpus/$target
  mkdir -p "$corpus"
  log=$build/$target.log
  if "$program" -max_total_time="$seconds" -max_len=16384 -timeout=10 \
    -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$build/$target-" \
    "$corpus" "$seeds" >"$log" 2>&1; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    coverage=$(grep -oE 'cov: [0-9]+' "$log" | tail -n 1)
    echo "$target: $runs inputs, $coverage, no failure"
  else
    failed=1
    echo "$target: FAILED, see $log" >&2
    tail -n 30 "$log" >&2
  fi
done
exit $failed
