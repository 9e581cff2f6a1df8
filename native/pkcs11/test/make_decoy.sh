#!/bin/sh
# Writes assembly for a library with every function that a libcrypto exports, each of which ends the process:
# it stands for a libcrypto that is not compatible with the module's, of whatever make.
# Usage: make_decoy.sh libcrypto.so OUTPUT.s
set -eu
{
  echo '.section .note.GNU-stack,"",%progbits'
  echo '.text'
  nm -D --defined-only "$1" | awk '$2 == "T" { sub(/@.*/, "", $3); print $3 }' | sort -u |
    awk '{ printf ".globl %s\n.type %s, %%function\n%s:\n", $1, $1, $1 }'
  case $(uname -m) in
    x86_64) echo '  ud2' ;;
    *) echo '  udf #0' ;;
  esac
} >"$2"
