#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# zsh completes commands, options and the checkpoints that are there, and runs
# nothing of what is typed.
. "$(dirname "$0")/functions.sh"
requires zsh

guest_disk disk.qcow2 16M
for name in monday monsoon tuesday 'a b'; do
  qemu-img bitmap --add disk.qcow2 "$name"
done
sha256sum disk.qcow2 >before

# completes OFFERS LINE-BEFORE LINE-AFTER: the offers joined by blanks.
completes ()
{
  local got
  rm -f ready line offers
  PATH=$builddir/tool:$PATH HOME=$PWD TERM=dumb \
    bounded zsh -f "$srcdir/tests/complete.zsh" "$srcdir/tool/completion" "$2" \
    || fail "zsh failed on '$2'"
  got=$(grep . offers | sort -u | paste -sd' ') || got=
  [ "$got" = "$1" ] || fail "'$2' is completed as: $got"
  [ "$(cat line)" = "$3" ] || fail "'$2' became '$(cat line)'"
}
completes list 'qemu-checkpoint li' 'qemu-checkpoint list '
completes 'check create current' 'qemu-checkpoint c' 'qemu-checkpoint c'
completes --from= 'qemu-checkpoint list --fr' 'qemu-checkpoint list --from='
completes 'monday monsoon' 'qemu-checkpoint list --file=disk.qcow2 --from=mon' \
  'qemu-checkpoint list --file=disk.qcow2 --from=mon'
completes monsoon 'qemu-checkpoint show --file disk.qcow2 mons' \
  'qemu-checkpoint show --file disk.qcow2 monsoon '
completes 'a b' 'qemu-checkpoint delete --file disk.qcow2 a' \
  'qemu-checkpoint delete --file disk.qcow2 a\ b '
completes tuesday 'qemu-checkpoint parent --file=vda:disk.qcow2 --json t' \
  'qemu-checkpoint parent --file=vda:disk.qcow2 --json tuesday '
# Files, where nothing else could come.
completes disk.qcow2 'qemu-checkpoint list --file=di' \
  'qemu-checkpoint list --file=disk.qcow2 '
# shellcheck disable=SC2016
completes 'before disk.qcow2 offers ready' 'qemu-checkpoint list --file=$(touch${IFS}ran) --from=' \
  'qemu-checkpoint list --file=$(touch${IFS}ran) --from='
[ ! -e ran ] || fail "a half-typed command was run"
sha256sum --quiet -c before
leaves_nothing
