#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# With qmp=, a job that nbdkit and its keeper left when both were killed is recognised,
# and ended if take-over=yes is said, or by what is printed.  One of an nbdkit that is
# alive, or may be, is not touched, and neither is what just looks like one.
. "$(dirname "$0")/qmp-lab.sh"
requires socat

guest_disk vda.qcow2
guest_disk vdb.qcow2
guest_define web1 vda.qcow2 vdb.qcow2
guest_start web1
checkpoint_make web1 monday
source_of web1
lab_state web1 >before
as_before () { lab_state web1 >after && cmp -s before after; }
# begin_and_kill: nbdkit and its keeper, at once.
begin_and_kill ()
{
  start_nbdkit n.sock "${source[@]}" checkpoint=monday "$@"
  find_keeper
  kill -KILL $keeper "$nbdkit_pid"
  wait "$nbdkit_pid" || :
  lab_state web1 >left
}
untouched () { lab_state web1 | diff -u left - || fail "$1 was touched"; }

# ── Taken over ──
begin_and_kill
refuses 'QEMU at .*/web1.sock has a backup job that one of our servers left behind when it was killed; start with take-over=yes, or end it with: ' \
  "${source[@]}" checkpoint=monday
untouched "the job"
guest_write web1 vda "write -P 5 1M 64k"
serve "${source[@]}" checkpoint=monday take-over=yes -- '
  nbdinfo --map --json "nbd+unix:///vda?socket=$unixsocket" \
    | jq -c "[.[] | select(.type == 0) | .offset]" >dirty'
[ "$(cat dirty)" = "[1048576]" ] || fail "dirty is $(cat dirty)"
lab_state web1 | diff -u before - || fail "something is left of both"

# ── What the message says is typed ──
begin_and_kill create=tuesday
refuses 'or end it with: ' "${source[@]}" checkpoint=monday
type_printed 'or end it with: '
wait_until 10 no_job web1
serve "${source[@]}" checkpoint=monday -- 'nbdinfo --size "nbd+unix:///vda?socket=$unixsocket"'
checkpoint_delete web1 tuesday
lab_state web1 | diff -u before - || fail "something is left of what was typed"

# ── The keeper alone was killed: nbdkit says how to look, and what to do ──
rm -f nbdkit.log
start_nbdkit n.sock "${source[@]}" checkpoint=monday
find_keeper
kill -KILL $keeper
wait_until 10 grep -q 'the process that watches it is gone; the backup is over' \
  nbdkit.log
stop_nbdkit
type_printed 'to see whether one is left, type ' ', and to end it ' nbdkit.log >seen
grep -q nbdkit-checkpoint seen || fail "it does not show the job: $(cat seen)"
type_printed ', and to end it ' '' nbdkit.log
wait_until 10 no_job web1
rm -rf "$lab_sockets"/nbdkit-checkpoint-*
wait_until 10 as_before || :
lab_state web1 | diff -u before - || fail "something is left of a keeper's job"

# ── An nbdkit's that is alive, by another monitor ──
start_nbdkit n.sock "${source[@]}" checkpoint=monday
lab_state web1 >left
for more in take-over=no take-over=yes; do
  refuses 'QEMU at .*web1.see.sock is being served by another of our servers' \
    qmp=web1.see.sock socket-dir="$lab_sockets" checkpoint=monday $more
  untouched "a job that is served"
done
nbdinfo --size "nbd+unix:///vda?socket=n.sock"
stop_nbdkit

# ── An nbdkit's of which nothing can be known, as its folder is not here ──
begin_and_kill
mkdir elsewhere
for more in take-over=no take-over=yes; do
  refuses 'has a backup job of one of our servers that cannot be looked at from here .*may be alive' \
    qmp=web1.sock socket-dir="$tmpdir/elsewhere" checkpoint=monday $more
  untouched "a job whose owner may be alive"
done
type_printed ', or if it was killed: '
wait_until 10 no_job web1
rm -rf "$lab_sockets"/nbdkit-checkpoint-*
serve "${source[@]}" checkpoint=monday -- 'nbdinfo --size "nbd+unix:///vda?socket=$unixsocket"'

# ── Names that look like ours, of others ──
for name in nbdkit-0123456789abcde-0s nbdkit-x-0s nbdkit-0123456789abcdef0-0s \
  nbdkit-0123456789ABCDEF-0s nbdkit-checkpoint; do
  qmp web1.see blockdev-add \
    "{\"driver\": \"null-co\", \"node-name\": \"$name\", \"size\": 1048576}" >/dev/null
done
lab_state web1 >others
serve "${source[@]}" checkpoint=monday take-over=yes -- \
  'nbdinfo --size "nbd+unix:///vda?socket=$unixsocket"'
lab_state web1 | diff -u others - || fail "another's node was touched"
