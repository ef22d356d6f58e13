#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The tool is killed while a running QEMU has backing images open for writing: they
# are read-only again soon, and a change is done or not done.  QEMU is killed under
# the tool, and after it: that is said, and no process is left.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/qemu-lab.sh"

two_disks
qemu_start q "${disks[@]}"
for name in sunday monday; do "$tool" create $name --qmp=q.sock; done
qemu_snapshot q '{"device": "vda", "snapshot-file": "vda.1.qcow2"}'
qemu_snapshot q '{"node-name": "vdb-node", "snapshot-file": "vdb.1.qcow2",
  "snapshot-node-name": "vdb-top"}'
qemu_state q >before
unchanged () { qemu_state q | cmp -s - before; }

# relayed WORD COMMAND…: the tool, by a relay that holds the first line with WORD.
relayed ()
{
  rm -f r.sock r.sock.* r.log
  "$python" "$srcdir/tests/line-relay.py" r.sock q.sock r.log "$1" &
  relay=$!
  pids+=($relay)
  wait_until 5 listens r.sock
  "$tool" "${@:2}" --qmp=r.sock >relayed.log 2>&1 &
  tool_pid=$!
  pids+=($tool_pid)
  wait_until 10 test -e r.sock.held
}
# end_relayed WHAT: go or drop.
end_relayed ()
{
  touch r.sock.$1
  wait $tool_pid || :
  wait_until 20 no_undo
  kill $relay
  wait $relay || :
}
# left NAMES: these are in both backing images, which are read-only.
left ()
{
  qmp q query-named-block-nodes '{"flat": true}' | jq -r '
    .[] | select(.drv == "qcow2" and (.file | test("vd[ab].qcow2")))
    | "\(.ro) \([."dirty-bitmaps"[]?.name] | sort | join(" "))"' \
    | diff - <(printf 'true %s\n' "$1" "$1") || fail "not $1"
}

# ── The tool, at each step, before QEMU hears of it: nothing is changed ──
for word in 'reopen -w' transaction; do
  for signal in KILL TERM HUP; do
    relayed "$word" delete sunday
    kill -$signal $tool_pid
    end_relayed drop
    unchanged || { qemu_state q | diff before -; fail "changed: $word $signal"; }
  done
done
# ── And after: it is done, in all layers ──
relayed transaction delete sunday
# As when all processes of a service are told to end.
for signal in TERM INT HUP; do kill -$signal $(pgrep -P $tool_pid); done
kill -KILL $tool_pid
end_relayed go
left monday
relayed 'reopen -r' delete monday
kill -KILL $tool_pid
end_relayed go
left ''
# What still works as before.
"$tool" create tuesday --qmp=q.sock
qemu_write q peripheral/vdb/virtio-backend 'write -P 3 1M 64k'
"$tool" list --qmp=q.sock --size | grep '^tuesday .* 64.0 KiB$'

# ── QEMU, under the tool ──
relayed transaction create wednesday
kill -KILL $qemu_pid
wait $qemu_pid || :
touch r.sock.go
status=0
wait $tool_pid || status=$?
cat relayed.log
[ $status -eq 2 ] || fail "ended with $status"
grep -q 'not known' relayed.log
no_undo || fail "a process is left"
kill $relay

# ── QEMU, right after a checkpoint was made: it is gone, and that is said ──
mkdir tree
qemu_start q -drive file=vda.1.qcow2,format=qcow2,if=none,id=vda \
  -device virtio-blk-pci,drive=vda
"$tool" create thursday --qmp=q.sock --tree=tree
kill -KILL $qemu_pid
wait $qemu_pid || :
here=(--file=vda:vda.1.qcow2 --tree=tree)
status=0
"$tool" check "${here[@]}" >found || status=$?
cat found
[ $status -eq 2 ] || fail "check ended with $status"
grep -q 'checkpoint-without-bitmap  vda  *thursday' found
command=$(sed -n 's/^    qemu-checkpoint //p' found)
eval "\"\$tool\" $command"
"$tool" check "${here[@]}" || fail "not mended"
"$tool" create friday "${here[@]}"
"$tool" list "${here[@]}" --size | grep '^friday .* 0 '
