#!/bin/sh
# Checks that the module is hardened: full RELRO, no text relocations, no executable stack; and that every
# object of our own was compiled with stack protector, stack clash protection, _FORTIFY_SOURCE and protection
# of branches. The module as a whole shows some of these by what its static libraries bring, so that it
# cannot tell whether our code has them.
# Usage: check_hardening.sh libtlskeep-pkcs11.so compile_commands.json OBJECT...
set -eu
module=$1
commands=$2
shift 2
failed=0
fail() {
  echo "$1" >&2
  failed=1
}

segments=$(readelf -lW "$module")
dynamic=$(readelf -dW "$module")
echo "$segments" | grep -q GNU_RELRO || fail "no RELRO"
echo "$dynamic" | grep -q 'Flags:.*NOW' || fail "not bound at load time"
if echo "$dynamic" | grep -q TEXTREL; then fail "text relocations"; fi
echo "$segments" | grep -qE 'GNU_STACK .* RW +0x' || fail "executable stack"

case $(readelf -hW "$module" | sed -n 's/ *Machine: *//p') in
  *X86-64*) flags="-fcf-protection=full" property="IBT, SHSTK" ;;
  AArch64) flags="-mbranch-protection=standard" property="BTI, PAC" ;;
  *) flags="" property="" ;;
esac

[ $# -gt 0 ] || fail "no objects"
# The module's own: others may build a source of it, with flags of theirs.
ours=$(grep -E '"command": .* -o [^ ]*/tlskeep[_-]pkcs11(_core)?[.]dir/' "$commands" || true)
compiled=$(echo "$ours" | grep -c . || true)
[ "$compiled" -ge $# ] || fail "$commands names $compiled sources, $# objects are checked"
for flag in -fstack-protector-strong -fstack-clash-protection $flags; do
  without=$(echo "$ours" | grep -cvF -e " $flag " || true)
  [ "$without" -eq 0 ] || fail "$without sources were compiled without $flag"
done
# It takes an optimizing compiler.
without=$(echo "$ours" | grep -E ' -O[123s] ' | grep -cvF -e ' -D_FORTIFY_SOURCE=2 ' || true)
[ "$without" -eq 0 ] || fail "$without sources were compiled without _FORTIFY_SOURCE"
protected=0
for object; do
  readelf -nW "$object" | grep -qF "$property" || fail "$object lacks the note \"$property\""
  if nm "$object" | grep -q ' U __stack_chk_fail$'; then protected=$((protected + 1)); fi
done
[ "$protected" -gt 0 ] || fail "no object looks after its stack"

# Functions that a consumer calls by pointer.
if [ "$property" = "IBT, SHSTK" ]; then
  landing=$(objdump -d --no-show-raw-insn "$module" |
    awk '/<C_[A-Za-z]+>:$/ { getline; if ($2 == "endbr64") n++ } END { print n + 0 }')
  [ "$landing" -eq 92 ] || fail "only $landing of 92 functions begin with endbr64"
fi
exit $failed
