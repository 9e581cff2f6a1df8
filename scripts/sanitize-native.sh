#!/usr/bin/env bash
# Runs the native tests of the module and the addon under AddressSanitizer with UndefinedBehaviorSanitizer,
# under ThreadSanitizer, and, as they are in build/native, under valgrind. Arguments choose among: address
# thread valgrind.
set -euo pipefail
cd "$(dirname "$0")/.."
jobs=${JOBS:-$(nproc)}
targets=(tlskeep_pkcs11_test tlskeep_pkcs11_wire_test tlskeep_pkcs11_island_test tlskeep_addon_test)
# Not under valgrind: what counts pages, seconds or descriptors, and what forks, whose children would be checked for what
# their parent's threads hold, and for what the module leaves to itself in a child.
not_valgrind='-*LoadTest*:Loading*:*Fork*:*Child*:*OfAnotherProcess:Robustness*:*SurvivesMutations*:*SurvivesRandom*:*InBoundedTime*:*TakesNoTime*:*WithoutDescriptors*'
# Without --fair-sched a thread that waits for another may keep the one processor that there is.
valgrind_options=(--quiet --fair-sched=yes --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite,indirect)

# All of these are slow; the tests' short deadlines are not what is on trial here.
export TLSKEEP_TEST_SLOWNESS=${TLSKEEP_TEST_SLOWNESS:-4}

build() { # directory, sanitizers
  cmake -S native -B "$1" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DTLSKEEP_SANITIZE="$2" -DBUILD_TESTING=ON >/dev/null
  cmake --build "$1" -j "$jobs" --target "${targets[@]}"
}

run_address() {
  build build/sanitize-address address,undefined
  ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1 \
    ctest --test-dir build/sanitize-address --output-on-failure --no-tests=error -j "$jobs"
}

run_thread() {
  build build/sanitize-thread thread
  TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1 \
    ctest --test-dir build/sanitize-thread --output-on-failure --no-tests=error -j "$jobs"
}

run_valgrind() {
  if ! command -v valgrind >/dev/null; then
    [ "$(id -u)" = 0 ] || { echo "this needs the package valgrind" >&2; exit 1; }
    echo "Installing Debian packages: valgrind"
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends valgrind >/dev/null
  fi
  build build/native ""
  # Made here, for finding primes under valgrind takes half a minute a key.
  TLSKEEP_TEST_KEYS=$(mktemp -d)
  export TLSKEEP_TEST_KEYS
  trap 'rm -rf "$TLSKEEP_TEST_KEYS"' EXIT
  for bits in 2048 3072 4096; do
    openssl genpkey -quiet -algorithm RSA -pkeyopt "rsa_keygen_bits:$bits" -out "$TLSKEEP_TEST_KEYS/rsa$bits.pem"
  done
  for target in "${targets[@]}"; do
    program=build/native/pkcs11/test/$target
    [ -e "$program" ] || program=build/native/addon/test/$target
    valgrind "${valgrind_options[@]}" "$program" --gtest_brief=1 --gtest_filter="$not_valgrind"
  done
}

chosen=("$@")
[ ${#chosen[@]} -gt 0 ] || chosen=(address thread valgrind)
for name in "${chosen[@]}"; do
  echo "== $name"
  "run_$name"
done
