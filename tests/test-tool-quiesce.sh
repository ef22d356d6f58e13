#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# create --quiesce of a real Linux with its real agent: its ext4 is frozen while the
# checkpoint is made, and thawed, also if the tool is killed in between.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/qemu-lab.sh"

qemu_boot q vda.qcow2
wrote_more () { [ "$(guest_rounds q)" -gt "$1" ]; }
goes_on () { wait_until 30 wrote_more "$(guest_rounds q)"; }

# ── Frozen while it is made ──
# relay WORD: q.sock is reached by r.sock.
relay ()
{
  rm -f r.sock r.sock.* r.log
  "$python" "$srcdir/tests/line-relay.py" r.sock q.sock r.log "$@" &
  relay=$!
  pids+=($relay)
  wait_until 5 listens r.sock
}
relay transaction
"$tool" create sunday --qmp=r.sock --agent=q.agent --quiesce &
wait_until 30 test -e r.sock.held
is_frozen q
# All is written that the guest had in its memory, and no journal is to be replayed.
qemu-img convert -U -f qcow2 -O raw vda.qcow2 frozen.raw
e2fsck -fn frozen.raw >fsck.log 2>&1 || { cat fsck.log; fail "it is not sound"; }
! grep -i journal fsck.log || fail "it was not frozen"
rm frozen.raw
touch r.sock.go
wait $! || fail "not made"
goes_on
[ "$("$tool" list --qmp=q.sock --name)" = sunday ] || fail "no checkpoint"
no_undo || fail "a process is left"
kill $relay
# QEMU's agent itself says that it has frozen and thawed.
grep -q 'guest-fsfreeze-freeze' q.console
grep -q 'logging re-enabled due to filesystem unfreeze' q.console

# ── Killed while it is frozen ──
for signal in KILL TERM HUP; do
  relay transaction
  "$tool" create $signal --qmp=r.sock --agent=q.agent --quiesce 2>killed.log &
  killed=$!
  wait_until 30 test -e r.sock.held
  rounds=$(guest_rounds q)
  kill -$signal $killed
  wait $killed || :
  goes_on
  wait_until 10 no_undo
  [ "$("$tool" list --qmp=q.sock --name)" = sunday ] || fail "half a checkpoint"
  kill $relay
  wait $relay || :
done

# ── Refused, it is thawed, too ──
tool_says 2 'already exists' create sunday --qmp=q.sock --agent=q.agent --quiesce
tool_says 2 'add --agent=SOCKET' create monday --qmp=q.sock --quiesce
qmp q blockdev-add '{"driver": "null-co", "node-name": "target", "size": 67108864}' >/dev/null
top=$(qmp q query-block | jq -r '.[0].inserted."node-name"')
qmp q blockdev-mirror "{\"device\": \"$top\", \"job-id\": \"j\", \"target\":
  \"target\", \"sync\": \"none\"}" >/dev/null
tool_says 2 'the mirror job j works on it' \
  create monday --qmp=q.sock --agent=q.agent --quiesce
goes_on
qmp q block-job-cancel '{"device": "j", "force": true}' >/dev/null
no_job () { [ "$(qmp q query-block-jobs)" = '[]' ]; }
wait_until 10 no_job
"$tool" create monday --qmp=q.sock --agent=q.agent --quiesce
goes_on
"$tool" list --qmp=q.sock --size

# ── Below a snapshot, while the guest writes through an iothread ──
qemu_snapshot q '{"device": "vda", "snapshot-file": "vda.1.qcow2"}'
for name in sunday monday; do
  "$tool" delete $name --qmp=q.sock
  goes_on
done
qmp q query-named-block-nodes '{"flat": true}' | jq -e '.[]
  | select(.drv == "qcow2" and .file == "vda.qcow2")
  | .ro and (."dirty-bitmaps" // [] | length == 0)' || fail "not as it was"
qmp q query-status | grep -q '"running"' || fail "the guest has stopped"
