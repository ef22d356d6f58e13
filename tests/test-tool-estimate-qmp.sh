#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint estimate, of a QEMU that runs without libvirt: how much is dirty,
# and not a word of what is not known; no job is begun for it.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/qemu-lab.sh"

two_disks
qemu_start q "${disks[@]}" -qmp unix:events.sock,server=on,wait=off
"$python" - >events <<'END' &
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect("events.sock")
s.sendall(b'{"execute": "qmp_capabilities"}')
for line in s.makefile():
    print(line, end="", flush=True)
END
pids+=($!)
wait_until 20 grep -q return events
bitmap () { qmp q block-dirty-bitmap-add "{\"node\": \"$1\", \"name\": \"$2\", \"persistent\": true}" >/dev/null; }
bitmap vda monday
bitmap vdb-node monday
qemu_write q peripheral/disk-a/virtio-backend 'write -P 2 1M 64k'
qemu_write q peripheral/vdb/virtio-backend 'write -P 3 2M 128k'
qemu_state q >before
"$tool" estimate --qmp=q.sock >table
cat table
grep -Eq '^monday +vda +64\.0 KiB +- +- +- +- +-$' table || fail "vda"
grep -Eq '^monday +vdb +128\.0 KiB +- +- +- +- +-$' table || fail "vdb"
grep -Eq '^monday +\(all\) +192\.0 KiB +- +- +- +- +-$' table || fail "all"
grep -q '^the guest runs, and its QEMU tells no more without a backup$' table
# What lies in two layers is not known without its work.
qemu_state q | diff -u before - || fail "it was changed"
qemu_snapshot q '{"device": "vda", "snapshot-file": "vda.1.qcow2"}'
qemu_state q >before
"$tool" estimate monday --qmp=q.sock --json | jq -e '.checkpoints[0]
  | .all.dirty == null and (.disks[] | select(.target == "vda") | .dirty == null
    and (.why | test ("several images")))
  and (.disks[] | select(.target == "vdb") | .dirty == 131072)'
[ "$(qmp q query-jobs)" = '[]' ] && [ "$(qmp q query-block-jobs)" = '[]' ] \
  || fail "a job is left"
! grep JOB events || fail "a job was begun"
qemu_state q | diff -u before - || fail "it was changed"
qemu_end q
