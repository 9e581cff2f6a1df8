#!/bin/sh
# Checks what the module shows and needs: exports C_* alone, takes nothing but the C library's and libgcc_s's
# versioned symbols, none of a C library newer than 2.34, and names no other library.
# Usage: check_exports.sh libtlskeep-pkcs11.so
set -eu
module=$1
failed=0
fail() {
  echo "$1" >&2
  failed=1
}

exported=$(nm -D --defined-only "$module")
imported=$(nm -D --undefined-only "$module")

others=$(echo "$exported" | awk '$3 !~ /^C_/ { print $3 }')
[ -z "$others" ] || fail "exports other than C_*: $others"
count=$(echo "$exported" | awk '$3 ~ /^C_/' | wc -l)
[ "$count" -eq 92 ] || fail "$count exports, not the 92 functions of PKCS #11 v3.0"

# The dynamic loader is where thread-local variables of static libraries come from.
needed=$(readelf -dW "$module" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
  grep -vE '^(libc\.so\.6|libgcc_s\.so\.1|ld-linux-x86-64\.so\.2|ld-linux-aarch64\.so\.1)$' || true)
[ -z "$needed" ] || fail "needs $needed"

# A symbol without a version could be anybody's. Weak ones (w) are asked for by the compiler's own start files.
anybodys=$(echo "$imported" | awk '$1 != "w" && $2 !~ /@(GLIBC|GCC)_[0-9.]+$/ { print $2 }')
[ -z "$anybodys" ] || fail "takes from whoever has it: $anybodys"
newest=$(echo "$imported" | sed -n 's/.*@GLIBC_\([0-9.]*\).*/\1/p' | sort -V | tail -n 1)
[ -n "$newest" ] || fail "no symbol of the C library"
[ "$(printf '%s\n2.34\n' "$newest" | sort -V | tail -n 1)" = 2.34 ] || fail "needs GLIBC_$newest"
exit $failed
