#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Long commands tell on a terminal how far they are, and nowhere else; the line goes
# before anything else is printed.  Ctrl-C ends them, however long a server would let
# them wait, and leaves nothing.
. "$(dirname "$0")/functions.sh"

# on_terminal STATUS WORDS…: what is on the screen goes to the file screen.
on_terminal ()
{
  local wanted=$1 status=0
  shift
  bounded "$python" "$srcdir/tests/terminal.py" "$@" >screen || status=$?
  cat screen
  [ $status -eq "$wanted" ] || fail "$* ended with $status"
  ! grep -E 'estimating:|verifying:' screen || fail "the line is still there"
}
# slow DELAY: the view of disk.qcow2, of which each read takes so long, at $slow.
slow ()
{
  rm -f slow.sock slow.pid
  nbdkit -f -U "$PWD/slow.sock" -P slow.pid --filter=delay "$plugin" disk.qcow2 \
    "delay-read=$1" 2>slow.log &
  pids+=($!)
  wait_until 20 test -s slow.pid
  slow="nbd+unix:///?socket=$PWD/slow.sock"
}

guest_disk disk.qcow2
qemu-img bitmap --add disk.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 2 1M 512k' disk.qcow2
sum=$(sha256sum <disk.qcow2)
progress='estimating: [0-9.]+ [KM]iB of [0-9.]+ MiB \([0-9]+%\), [0-9.]+ [KM]*i*B/s'

# ── The line ──
slow 200ms
on_terminal 0 "$tool" estimate --uri "$slow"
grep -Eq "$progress" seen || fail "there is no progress: $(cat -v seen)"
grep -Eq ', [0-9]+:[0-9]+ min left' seen || fail "no time is told"
[ "$(tr '\r' '\n' <seen | grep -Ec "^$progress")" -ge 2 ] || fail "it stands still"
[ "$(grep -c . screen)" -eq 2 ] || fail "more than a table"
! grep -qP '\x1b(?!\[[01]?m)' seen || fail "there are escape sequences"
# It fits, and where titles would be bold, NO_COLOR is heeded.
export NO_COLOR=1
on_terminal 0 30 "$tool" estimate --uri "$slow"
tr '\r' '\n' <seen | grep -E '^estimating: ' | awk 'length > 29' >long
[ ! -s long ] || fail "a line is too long: $(cat long)"
! grep -q $'\x1b' seen || fail "there is colour"
unset NO_COLOR
# A message stands by itself.
on_terminal 1 sh -c "'$tool' estimate --uri '$slow'; '$tool' estimate no --uri '$slow'"
grep -q '^qemu-checkpoint: there is no checkpoint no' screen
# Who ignores Ctrl-C, ignores it, and gets all of it.
on_terminal 0 --quit-at 'estimating: ' INT \
  sh -c "trap '' INT; exec '$tool' estimate --uri '$slow'"
grep -q '^monday' screen || fail "it ended"
# No terminal, no line.
"$tool" estimate --uri "$slow" >table 2>log
[ ! -s log ] || fail "there is no terminal: $(cat log)"
! grep -q 'estimating' table || fail "it is in the table"
kill "$(cat slow.pid)"

# ── Ctrl-C ──
slow 600
on_terminal 130 --quit-at 'estimating: ' INT "$tool" estimate --uri "$slow"
[ -z "$(cat screen)" ] || fail "something was said"
on_terminal 143 --quit-at 'estimating: ' TERM "$tool" estimate --uri "$slow"
[ -z "$(cat screen)" ] || fail "something was said"
on_terminal 129 --quit-at 'estimating: ' HUP "$tool" estimate --uri "$slow"
kill "$(cat slow.pid)"

# A storage daemon of our own that waits for a server far away.  (Not too far: it
# is read when it is opened, too.)
slow 500ms
qemu-img create -q -f qcow2 -u -b "$slow" -F raw backup.qcow2 64M
mkdir folders
on_terminal 130 --quit-at 'verifying: ' INT env TMPDIR="$PWD/folders" "$tool" \
  verify backup.qcow2 --full --file=disk.qcow2 --backing="$slow"
kill "$(cat slow.pid)"
leaves_nothing
[ -z "$(ls folders)" ] || fail "a folder is left"
[ "$sum" = "$(sha256sum <disk.qcow2)" ] || fail "the disk was changed"
