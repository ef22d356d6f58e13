#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A QEMU that is silent, with qmp=: a client that reads gets EIO, and nbdkit ends, after
# 45 s at the latest.  Once QEMU answers again, all that was begun there ends, too.
. "$(dirname "$0")/qmp-lab.sh"

lab_with_guest
source_of web1
lab_state web1 >before
as_before () { lab_state web1 >after && cmp -s before after; }

# ── Silent: the client is told, and nbdkit ends; once QEMU goes on, so does the end
# of the job ──
nbdkit_options=(-D checkpoint.patience=4)
start_nbdkit n.sock "${source[@]}" checkpoint=monday create=silent
nbdinfo --size "nbd+unix:///vda?socket=n.sock"
kill -STOP "$(guest_pid web1)"
nbdsh -u "nbd+unix:///vda?socket=n.sock" -c '
import errno
try:
    h.pread (65536, 1 << 20)
    raise SystemExit ("it was read")
except nbd.Error as error:
    assert error.errno == "EIO", error
' || fail "no EIO of a QEMU that is silent"
kill "$nbdkit_pid"
bounded tail --pid="$nbdkit_pid" -f /dev/null || fail "nbdkit waits for ever"
wait "$nbdkit_pid" || :
cat nbdkit.log
kill -CONT "$(guest_pid web1)"
wait_until 60 lab_no_keeper
checkpoint_exists web1 silent && checkpoint_delete web1 silent
wait_until 60 as_before || :
lab_state web1 | diff -u before - || fail "something is left in a QEMU that was silent"

# Silent as nbdkit starts: refused in bounded time, told to end, killed.
kill -STOP "$(guest_pid web1)"
for signal in TERM KILL; do
  nbdkit -f -U n.sock "$plugin" "${source[@]}" checkpoint=monday 2>ended.log &
  nbdkit_pid=$!
  pids+=("$nbdkit_pid")
  find_keeper
  kill -$signal "$nbdkit_pid"
  wait "$nbdkit_pid" || :
  wait_until 15 lab_no_keeper
done
nbdkit_options=()
refuses 'web1.sock (is silent|serves one client at a time)' "${source[@]}" checkpoint=monday
wait_until 15 lab_no_keeper
kill -CONT "$(guest_pid web1)"

# The chain goes on.
guest_write web1 vda 'write -P 2 1M 64k'
serve "${source[@]}" checkpoint=monday -- \
  'nbdinfo --map --json "$uri" | jq -c "[.[] | select(.type == 0) | .offset]"' >dirty
[ "$(cat dirty)" = "[1048576]" ] || fail "dirty is $(cat dirty)"
wait_until 10 as_before || :
lab_state web1 | diff -u before - || fail "something is left"
