#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The tool's code, --help, manual and completion name the same commands and options;
# bash completes commands, options and the checkpoints that are there.
. "$(dirname "$0")/functions.sh"

pod=$srcdir/docs/qemu-checkpoint.pod
podchecker -warnings "$pod" 2>podchecker.log || { cat podchecker.log; exit 1; }
[ -s "$builddir/docs/qemu-checkpoint.1" ] || fail "there is no manual page"
[ "$("$tool" --version)" \
  = "qemu-checkpoint $(sed -n 's/^AC_INIT.*\[\([0-9.]*\)\])$/\1/p' "$srcdir/configure.ac")" ] \
  || fail "--version says $("$tool" --version)"

# ── Commands ──
sed -n 's/^  { "\([a-z]*\)", .*/\1/p' "$srcdir/tool/main.c" | sort >code
[ "$(wc -l <code)" -eq 14 ] || fail "expected 14 commands in main.c"
"$tool" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' | sort \
  | diff -u code - || fail "--help names other commands"
sed -n '/^=head1 COMMANDS/,/^=head1 OPTIONS/s/^=head2 \([a-z]*\).*/\1/p' "$pod" \
  | sort | diff -u code - || fail "the manual names other commands"
"$tool" --complete '' | grep -v '^--' | sort \
  | diff -u code - || fail "other commands are completed"

for words in -h help; do
  "$tool" --help | diff -u - <("$tool" $words) || fail "$words"
done
for words in 'list -h' 'help list'; do
  # shellcheck disable=SC2086
  "$tool" list --help | diff -u - <("$tool" $words) || fail "$words"
done

# ── Options ──
# items SECTION: the manual's "=item B<--from=>I<NAME>" there, as --help has them.
items ()
{
  awk -v section="$1" '/^=head/ { is_it = $0 ~ "^=head[12] " section } is_it' "$pod" \
    | sed -n 's/^=item B<\(--[a-z-]*=*\)>\(I<\(.*\)>\)*$/\1\3/p'
}
while read -r command; do
  { items "$command"; items 'OPTIONS OF ALL'; items 'WHOSE CHECKPOINTS'; } \
    | sort -u >manual
  "$tool" "$command" --help | grep -Eo '^  --[^ ]+' | tr -d ' ' | sort >help
  "$tool" --complete "$command" -- | sort >completed
  cat help
  diff -u manual help || fail "$command --help and the manual differ"
  sed 's/=.*/=/' help | sort | diff -u - completed \
    || fail "$command: --help and completion differ"
  ! "$tool" "$command" --help | awk 'length > 90' | grep . || fail "a long line"
done <code
# Each option's name in the code is one of them.
sed -n 's/^  { "\([a-z-]*\)", .*/\1/p; s/^  FLAG ("\([a-z-]*\)".*/\1/p' \
  "$srcdir/tool/options.c" | sort -u >code-options
[ "$(wc -l <code-options)" -eq 48 ] || fail "expected 48 options in options.c"
while read -r command; do "$tool" "$command" --help; done <code \
  | grep -Eo '^  --[a-z-]+' | tr -d ' ' | sed 's/^--//' | sort -u \
  | diff -u code-options - || fail "--help and options.c differ"

# ── bash ──
# completes WANTED LINE: what bash offers at its end, joined by blanks.
cat >complete.sh <<'END'
compopt () { :; }
. "$1"
COMP_LINE=$2 COMP_POINT=${#2}
COMP_WORDS=() rest=$2
# As bash cuts it (COMP_WORDBREAKS).
while [[ $rest =~ ^([[:space:]]*)([^[:space:]=:]+|[=:]+)(.*)$ ]]; do
  COMP_WORDS+=("${BASH_REMATCH[2]}")
  rest=${BASH_REMATCH[3]}
done
[[ $2 != *' ' ]] || COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_qemu_checkpoint
printf '%s\n' "${COMPREPLY[@]}"
END
completes ()
{
  local got
  got=$(PATH=$builddir/tool:$PATH bash complete.sh \
    "$srcdir/tool/completion/qemu-checkpoint" "$2" | paste -sd' ')
  [ "$got" = "$1" ] || fail "'$2' is completed as: $got"
}
guest_disk disk.qcow2 16M
for name in monday monsoon tuesday 'a b'; do
  qemu-img bitmap --add disk.qcow2 "$name"
done
sha256sum disk.qcow2 >before
completes "list show info parent current create redefine edit delete check map \
estimate files verify --help --version" 'qemu-checkpoint '
completes 'list' 'qemu-checkpoint li'
completes '' 'qemu-checkpoint x'
completes '--from=' 'qemu-checkpoint list --fr'
completes '--tree= --tree --topological' 'qemu-checkpoint list --t'
completes '--tree=' 'qemu-checkpoint info --t'
completes 'monday monsoon' 'qemu-checkpoint list --file=disk.qcow2 --from=mon'
completes 'monday monsoon' 'qemu-checkpoint list --file=vda:disk.qcow2 --from mon'
completes 'monday monsoon' 'qemu-checkpoint list --file disk.qcow2 --from mon'
completes 'a\ b monday monsoon tuesday' \
  'qemu-checkpoint show --file disk.qcow2 '
completes 'tuesday' 'qemu-checkpoint parent --file disk.qcow2 --json t'
completes 'monday monsoon' 'qemu-checkpoint delete --file disk.qcow2 mon'
for command in estimate files map; do
  completes 'monday monsoon' "qemu-checkpoint $command --file disk.qcow2 mon"
done
completes '--children --children-only' \
  'qemu-checkpoint delete --file disk.qcow2 --ch'
# A new one's name, and a document's, it does not know.
completes '' 'qemu-checkpoint create --file disk.qcow2 mon'
completes '' 'qemu-checkpoint redefine --tree=tree mon'
completes '' 'qemu-checkpoint show mon'
completes '' 'qemu-checkpoint current --file disk.qcow2 mon'
completes '' 'qemu-checkpoint list --file di'
completes '' 'qemu-checkpoint list --file=nothing --from='
# What is typed is not run.
completes '' 'qemu-checkpoint list --file=$(touch${IFS}ran) --from='
completes '' 'qemu-checkpoint list --file=`touch${IFS}ran` --from='
[ ! -e ran ] || fail "a half-typed command was run"
sha256sum --quiet -c before
leaves_nothing
