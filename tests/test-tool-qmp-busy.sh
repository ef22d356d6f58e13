#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# What works on a running QEMU's disks or bitmaps, or has its images elsewhere, is
# not disturbed: changes are refused, with why and what to do, and change nothing.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/qemu-lab.sh"

two_disks
qemu_start q "${disks[@]}"
"$tool" create sunday --qmp=q.sock
# refused REGEX ARGS…: and all is as it was.
refused ()
{
  qemu_state q >before
  tool_says 2 "$@" --qmp=q.sock
  qemu_state q | diff -u before - || fail "something has changed: ${*:2}"
  no_undo || fail "a process is left: ${*:2}"
}

# ── A bitmap that is exported ──
qmp q nbd-server-start \
  '{"addr": {"type": "unix", "data": {"path": "n.sock"}}}' >/dev/null
# (QEMU exports none that records of a disk that the guest may write to.)
qmp q block-dirty-bitmap-disable '{"node": "vdb-node", "name": "sunday"}' >/dev/null
qmp q block-export-add '{"type": "nbd", "id": "e", "node-name": "vdb-node",
  "name": "vdb", "bitmaps": ["sunday"]}' >/dev/null
refused 'disk vdb: bitmap sunday of .*vdb.qcow2 is in use by a backup or an export.*block-export-del' \
  delete sunday
# A new one is none of its business.
"$tool" create monday --qmp=q.sock
qmp q block-export-del '{"id": "e"}' >/dev/null
qmp q block-dirty-bitmap-enable '{"node": "vdb-node", "name": "sunday"}' >/dev/null
"$tool" delete monday --qmp=q.sock

# ── A job ──
qemu-img create -q -f qcow2 target.qcow2 64M
qmp q blockdev-add '{"driver": "qcow2", "node-name": "target",
  "file": {"driver": "file", "filename": "target.qcow2"}}' >/dev/null
qmp q blockdev-mirror '{"device": "vdb-node", "job-id": "copying",
  "target": "target", "sync": "full"}' >/dev/null
refused 'disk vdb: the mirror job copying works on it.*block-job-cancel' \
  create tuesday
# Other disks are free.
"$tool" create tuesday --disk=vda --qmp=q.sock
"$tool" delete tuesday --qmp=q.sock
# Below the job's filter are the same layers.
"$tool" info sunday --qmp=q.sock | grep '^Disks:  *vda, vdb$'
qmp q block-job-cancel '{"device": "copying", "force": true}' >/dev/null
no_job () { [ "$(qmp q query-block-jobs)" = '[]' ]; }
wait_until 10 no_job
"$tool" create tuesday --qmp=q.sock
"$tool" delete tuesday --qmp=q.sock

# ── Backing images that another guest uses, too ──
for disk in a b; do
  qemu_snapshot q "$(jq -n --arg disk $disk '$ARGS.named.disk as $d
    | {"snapshot-file": "top\($d).qcow2"} + (if $d == "a" then {"device": "vda"}
       else {"node-name": "vdb-node", "snapshot-node-name": "vdb-top"} end)')"
done
qemu-storage-daemon --chardev stdio,id=m --monitor chardev=m \
  --blockdev file,node-name=f,filename=vdb.qcow2,read-only=on \
  --blockdev qcow2,node-name=other,file=f,read-only=on <>/dev/null >other.log &
other=$!
touch other.log
pids+=($other)
wait_until 10 grep -q QMP other.log
refused 'only while QEMU has those open for writing.*another guest may use' \
  delete sunday
kill $other
wait $other || :
"$tool" delete sunday --qmp=q.sock
[ -z "$("$tool" list --name --qmp=q.sock)" ] || fail "a bitmap is left"
qemu_end q

# ── What changes while it is looked at ──
requires socat
guest_disk vdc.qcow2
qemu_start q -monitor unix:people.sock,server=on,wait=off \
  -drive file=vdc.qcow2,format=qcow2,if=none,id=vdc -device virtio-blk-pci,drive=vdc
"$python" "$srcdir/tests/line-relay.py" r.sock q.sock r.log query-block-jobs \
  query-block-jobs &
relay=$!
pids+=($relay)
wait_until 5 listens r.sock
"$tool" create sunday --qmp=r.sock >refused.log 2>&1 &
creating=$!
wait_until 10 test -e r.sock.held
echo 'snapshot_blkdev vdc vdc.1.qcow2' | socat -t 2 - UNIX:people.sock >/dev/null
[ -e vdc.1.qcow2 ] || fail "no snapshot was made"
touch r.sock.go
! wait $creating || fail "it was made"
grep 'disk vdc: its images or bitmaps have changed' refused.log
kill $relay
[ -z "$("$tool" list --name --qmp=q.sock)" ] || fail "something was made"
qemu_end q

# ── What ends with QEMU ──
qemu_start q -snapshot -drive file=vda.qcow2,format=qcow2,if=none,id=vda \
  -device virtio-blk-pci,drive=vda
refused 'disk vda: QEMU was started with -snapshot.*lost' create sunday
qemu_end q

# ── In a storage daemon, options that it does not tell are not needed ──
rm -f s.sock
qemu-img bitmap --add vdb.qcow2 monday
qemu-img bitmap --add topb.qcow2 monday
qemu-storage-daemon --chardev socket,id=m,path=s.sock,server=on,wait=off \
  --monitor chardev=m \
  --blockdev file,node-name=f0,filename=vdb.qcow2,auto-read-only=on \
  --blockdev qcow2,node-name=base,file=f0,read-only=on \
  --blockdev file,node-name=f1,filename=topb.qcow2 \
  --blockdev qcow2,node-name=disk,file=f1,backing=base &
pids+=($!)
wait_until 10 qmp s query-block >/dev/null
qemu_state s | sed 's/\["monday".*\]\]\]/]]/; s/\[\["monday".*/[]]/' >before
"$tool" create sunday --qmp=s.sock
"$tool" delete sunday --qmp=s.sock
"$tool" delete monday --qmp=s.sock
qemu_state s | diff -u before - || fail "the daemon's nodes have changed"
qmp s quit >/dev/null 2>&1 || :
! qemu-img info vdb.qcow2 | grep monday || fail "the backing image has it"
