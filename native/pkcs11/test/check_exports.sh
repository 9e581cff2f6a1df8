#!/bin/sh
# Checks what the module shows and needs: exports C_* alone, needs the C library and libgcc_s alone, no
# symbol of a C library newer than 2.34, full RELRO, no text relocations, no executable stack, stack protector,
# _FORTIFY_SOURCE and, on x86-64, landing pads for indirect branches.
# Usage: check_exports.sh libtlskeep-pkcs11.so
set -eu
module=$1
failed=0
fail() {
  echo "$1" >&2
  failed=1
}

others=$(nm -D --defined-only "$module" | awk '$3 !~ /^C_/ { print $3 }')
[ -z "$others" ] || fail "exports other than C_*: $others"
count=$(nm -D --defined-only "$module" | awk '$3 ~ /^C_/' | wc -l)
[ "$count" -eq 92 ] || fail "$count exports, not the 92 functions of PKCS #11 v3.0"

# The dynamic loader is where thread-local variables of static libraries come from.
needed=$(readelf -d "$module" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
  grep -vE '^(libc\.so\.6|libgcc_s\.so\.1|ld-linux-x86-64\.so\.2|ld-linux-aarch64\.so\.1)$' || true)
[ -z "$needed" ] || fail "needs $needed"

newest=$(nm -D --undefined-only "$module" | sed -n 's/.*@GLIBC_\([0-9.]*\).*/\1/p' | sort -V | tail -n 1)
[ "$(printf '%s\n2.34\n' "$newest" | sort -V | tail -n 1)" = 2.34 ] || fail "needs GLIBC_$newest"

crypto=$(nm -D --undefined-only "$module" | grep -E ' (EVP|SSL|CRYPTO|OPENSSL|X509|BN|RSA|EC|OSSL|ERR)_' || true)
[ -z "$crypto" ] || fail "binds to a libcrypto of the process: $crypto"

readelf -lW "$module" | grep -q GNU_RELRO || fail "no RELRO"
readelf -dW "$module" | grep -q 'Flags:.*NOW' || fail "not bound at load time"
if readelf -dW "$module" | grep -q TEXTREL; then fail "text relocations"; fi
readelf -lW "$module" | grep GNU_STACK | grep -q RWE && fail "executable stack"
nm -D --undefined-only "$module" | grep -q __stack_chk_fail || fail "no stack protector"
nm -D --undefined-only "$module" | grep -q _chk@ || fail "no _FORTIFY_SOURCE"
# Of control-flow enforcement the whole file's note says the least of its parts, and some distributions'
# static libstdc++ lacks it: what is checked is the code of ours, at each function that a consumer calls.
if readelf -hW "$module" | grep -q X86-64; then
  functions=$(objdump -d --no-show-raw-insn "$module" | awk '/<C_[A-Za-z]+>:$/ { getline; if ($2 == "endbr64") n++ } END { print n + 0 }')
  [ "$functions" -eq 92 ] || fail "only $functions functions begin with endbr64"
fi
exit $failed
