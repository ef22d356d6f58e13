#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# What other clients of a QEMU have there, their NBD server and exports, jobs, nodes and
# bitmaps, is as it was after backups with qmp=, after those that are refused, and after
# what was killed; and it goes on working meanwhile.
. "$(dirname "$0")/qmp-lab.sh"

guest_disk vda.qcow2
guest_disk vdb.qcow2
guest_disk vdc.qcow2
guest_define web1 vda.qcow2 vdb.qcow2 vdc.qcow2
guest_start web1
checkpoint_make web1 monday
source_of web1
see () { qmp web1.see "$@" >/dev/null; }

# answers: as QEMU gives them.
answers ()
{
  local query
  for query in query-block query-named-block-nodes query-block-jobs query-jobs \
    query-block-exports x-debug-query-block-graph query-iothreads; do
    echo "$query: $(qmp web1.see $query)"
  done
  lab_state web1
}
unchanged () { answers | diff - theirs >differs || { cut -c -2000 differs; fail "changed by: $1"; }; }

# ── Bitmaps, one of which records nothing, one that ends with QEMU; nodes; a job on
# another disk, which is at work; objects ──
see block-dirty-bitmap-add '{"node": "vda", "name": "theirs", "persistent": true}'
see block-dirty-bitmap-add '{"node": "vda", "name": "nightly", "disabled": true}'
see block-dirty-bitmap-add '{"node": "b-node", "name": "0", "granularity": 4096}'
see object-add '{"qom-type": "iothread", "id": "their-thread"}'
see blockdev-add '{"driver": "null-co", "node-name": "their-node", "size": 67108864}'
see blockdev-mirror '{"device": "vdc", "job-id": "copying", "target": "their-node",
  "sync": "full", "speed": 1}'
guest_write web1 vda "write -P 3 1M 64k"
guest_write web1 vdb "write -P 3 1M 64k"
guest_write web1 vda flush
guest_write web1 vdb flush
see stop
see job-pause '{"id": "copying"}'
paused () { [ "$(qmp web1.see query-jobs | jq -r '.[0].status')" = paused ]; }
wait_until 10 paused
answers >theirs

serve "${source[@]}" checkpoint=monday disk=vda -- 'nbdcopy "$uri" null:'
unchanged "a backup of one disk"
serve "${source[@]}" on-missing=full disk=vdb -- 'nbdcopy "$uri" null:'
unchanged "a full view of another"
refuses 'disk vdc.*copying' "${source[@]}" checkpoint=monday disk=vdc
unchanged "a refusal, as their job works on the disk"
! serve "${source[@]}" checkpoint=monday -- 'exit 3' 2>all.log || fail "status"
unchanged "an attempt at all disks"
start_nbdkit n.sock "${source[@]}" checkpoint=monday disk=vda
kill -KILL "$nbdkit_pid"
wait "$nbdkit_pid" || :
wait_until 20 lab_no_keeper
unchanged "an nbdkit that was killed"

# ── What they begin, do and end while ours is there ──
start_nbdkit n.sock "${source[@]}" checkpoint=monday disk=vda
see block-dirty-bitmap-add '{"node": "b-node", "name": "added"}'
see blockdev-add '{"driver": "null-co", "node-name": "added", "size": 67108864}'
see blockdev-backup '{"device": "b-node", "job-id": "added", "target": "added",
  "sync": "full", "auto-dismiss": false}'
concluded () { qmp web1.see query-jobs | jq -e '.[] | select(.id == "added" and .status == "concluded")' >/dev/null; }
wait_until 20 concluded
nbdcopy "nbd+unix:///vda?socket=n.sock" null:
stop_nbdkit
concluded || fail "their job is gone"
# Their export in the server that is ours goes on, with who reads it.
start_nbdkit n.sock "${source[@]}" checkpoint=monday disk=vda
see block-export-add '{"type": "nbd", "id": "added", "node-name": "b-node",
  "name": "b", "writable": false}'
mkfifo told go
nbdsh -u "nbd+unix:///b?socket=$(echo "$lab_sockets"/nbdkit-checkpoint-*/nbd)" -c '
open("told", "w").close()
open("go").close()
h.pread(512, 0)' &
reader=$!
pids+=("$reader")
: <told
stop_nbdkit
qmp web1.see query-block-exports | jq -e 'map (.id) == ["added"]' >/dev/null \
  || fail "their export in our server is gone"
: >go
wait "$reader" || fail "who read their export cannot go on"
refuses 'NBD server' "${source[@]}" checkpoint=monday disk=vda
see block-export-del '{"id": "added", "mode": "hard"}'
see nbd-server-stop
# Neither does what is typed to end a job of ours that was left stop it.
start_nbdkit n.sock "${source[@]}" checkpoint=monday disk=vda
see block-export-add '{"type": "nbd", "id": "added", "node-name": "b-node",
  "name": "b", "writable": false}'
find_keeper
kill -KILL $keeper "$nbdkit_pid"
wait "$nbdkit_pid" || :
refuses 'or end it with: ' "${source[@]}" checkpoint=monday disk=vda
type_printed 'or end it with: '
qmp web1.see query-block-exports | jq -e 'map (.id) == ["added"]' >/dev/null \
  || fail "what was typed left $(qmp web1.see query-block-exports)"
see block-export-del '{"id": "added", "mode": "hard"}'
see nbd-server-stop
see job-dismiss '{"id": "added"}'
see blockdev-del '{"node-name": "added"}'
see block-dirty-bitmap-remove '{"node": "b-node", "name": "added"}'
unchanged "a backup while they were at work"

# ── All nodes are asked for again and again: QEMU 7.2 dies of that while it formats an
# image, so it must not ──
PYTHONPATH=$srcdir/tests "$python" -c '
import os
from guest_calls import Monitor
monitor = Monitor("web1.people")
monitor.socket.settimeout(60)
while not os.path.exists("enough"):
    monitor.ask("info block -n")' &
asking=$!
pids+=("$asking")
for disk in vda vdb vda vdb vda vdb; do
  serve "${source[@]}" on-missing=full disk=$disk -- true
done
touch enough
wait "$asking" || fail "QEMU did not survive that somebody looked"
unchanged "backups while somebody looked"

# ── An NBD server, of which QEMU has one only: it is theirs ──
see nbd-server-start '{"addr": {"type": "unix", "data": {"path": "their.sock"}}}'
see block-export-add '{"type": "nbd", "id": "their-export", "node-name": "b-node",
  "name": "b", "writable": false}'
answers >theirs
for more in "checkpoint=monday disk=vda" "on-missing=full disk=vdb take-over=yes"; do
  refuses 'NBD server' "${source[@]}" $more
  unchanged "a refusal, as there is their server"
done
nbdinfo --size 'nbd+unix:///b?socket=their.sock'
"$tool" list --qmp=web1.sock >/dev/null
unchanged "the tool"
see block-export-del '{"id": "their-export"}'
see nbd-server-stop
serve "${source[@]}" checkpoint=monday disk=vda -- 'nbdinfo --size "$uri"'
