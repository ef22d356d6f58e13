#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint map of a QEMU that runs without libvirt, over a snapshot, too: what
# was written, and QEMU is as it was, however it ends.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/qemu-lab.sh"

two_disks
qemu_start q "${disks[@]}"
bitmap () { qmp q block-dirty-bitmap-add "{\"node\": \"$1\", \"name\": \"$2\", \"persistent\": true}" >/dev/null; }
bitmap vda monday
bitmap vdb-node monday
qemu_write q peripheral/disk-a/virtio-backend 'write -P 2 1M 640k'
qemu_write q peripheral/vdb/virtio-backend 'write -P 3 2M 128k'
qemu_snapshot q '{"device": "vda", "snapshot-file": "vda.1.qcow2"}'
bitmap vda monday
qemu_write q peripheral/disk-a/virtio-backend 'write -P 3 3M 64k'
qemu_state q >before
idle ()
{
  [ "$(qmp q query-jobs)" = '[]' ] && [ "$(qmp q query-block-exports)" = '[]' ] \
    && qemu_state q | diff -q - before >/dev/null
}
size=$(qemu-img info -U --output=json vda.qcow2 | jq '."virtual-size"')

"$tool" map monday --qmp=q.sock --disk=vda --extents >printed
diff -u - printed <<END || fail "another map of vda"
0 1048576 hole
1048576 655360
1703936 1441792 hole
3145728 65536
3211264 $((size - 3211264)) hole
END
wait_until 10 idle
"$tool" map monday --qmp=q.sock --text >printed
cat printed
grep -q '^704.0 KiB of .* in 2 runs, 0 B of it zeroes' printed || fail "vda's picture"
grep -q '^128.0 KiB of .* in 1 run, 0 B of it zeroes' printed || fail "vdb's picture"
wait_until 10 idle
"$tool" map monday --qmp=q.sock --disk=vda --json >whole
wait_until 10 idle
for signal in INT TERM KILL; do
  env --default-signal=INT "$tool" map monday --qmp=q.sock --disk=vda --json >printed 2>log &
  pid=$!
  wait_until 20 eval '! idle || ! kill -0 $pid 2>/dev/null'
  kill -$signal $pid 2>/dev/null || :
  wait $pid 2>/dev/null || :
  wait_until 20 idle
  is_safe_list "$size" || fail "half a map after SIG$signal: $(cat printed)"
done
qemu_end q
