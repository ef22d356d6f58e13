#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A chain of backups of a running guest with two disks: full with the first
# checkpoint, then increments, each with the next one, by qemu-img and by
# nbdcopy.  Each image equals what the job's own export holds, and an
# increment has the dirty clusters only.  When a client failed, the older
# checkpoint still works.
. "$(dirname "$0")/${lab_of:-libvirt}-lab.sh"

guest_disk vda.qcow2
guest_disk vdb.qcow2
lab_start
guest_define web1 vda.qcow2 vdb.qcow2
guest_start web1
source_of web1

# begin ARGS…: a job; $base is the URI without an export's name.
begin ()
{
  start_nbdkit n.sock "${source[@]}" "$@"
}
uri () { echo "nbd+unix:///$1?socket=$tmpdir/n.sock"; }

# end: as it was before, but for the checkpoint.
end ()
{
  stop_nbdkit
  no_job web1
  ! ls -d ./*.scratch* 2>/dev/null || fail "a scratch file is left"
}

# same TO: the copies of both disks are what QEMU's own exports held.
same ()
{
  local disk
  for disk in vda vdb; do
    qemu-img compare -f raw -F qcow2 $disk.raw "$disk.$1.qcow2" \
      || fail "$disk.$1.qcow2 is not the disk"
  done
}

begin create=sunday
for disk in vda vdb; do
  qemu-img convert -f raw -O qcow2 "$(uri $disk)" $disk.sunday.qcow2
  guest_write web1 $disk "write -P 99 0 1M"
  nbdcopy "$(uri $disk)" $disk.nbdcopy
  full_copy_of_job web1 $disk $disk.raw
  cmp $disk.raw $disk.nbdcopy
done
same sunday
nbdinfo "$(uri vda)" | grep 'disk vda, served whole, .*67108864 bytes dirty'
end

# increment FROM TO: what was written since FROM, while more is written.
increment ()
{
  local disk
  begin checkpoint="$1" create="$2"
  guest_write web1 vda "write -P 77 2M 2M"
  qemu-img convert -f raw -O qcow2 -B vda.$1.qcow2 -F qcow2 "$(uri vda)" \
    vda.$2.qcow2
  guest_write web1 vdb "write -P 77 5M 2M"
  qemu-img convert -f raw -O qcow2 -B vdb.$1.qcow2 -F qcow2 "$(uri vdb)" \
    vdb.$2.qcow2
  for disk in vda vdb; do
    full_copy_of_job web1 $disk $disk.raw
    nbdinfo --json --map "$(uri $disk)" \
      | jq -r '.[] | select(.type != 1) | "\(.offset) \(.length)"' \
      | join_ranges >want
    allocated $disk.$2.qcow2 | diff -u want - \
      || fail "$disk.$2.qcow2 holds other clusters than the dirty ones"
  done
  same $2
  end
}

guest_write web1 vda "write -P 2 20M 300k"
guest_write web1 vda "write -z 1M 1M"
guest_write web1 vdb "discard 3M 64k"
increment sunday monday
increment monday tuesday
[ "$(cat want)" = "5242880 2097152" ] || fail "not just what was written"

# A client that fails: its checkpoint is there, but the older one as well.
begin checkpoint=tuesday create=wednesday
"$python" -c '
import nbd, os, signal
h = nbd.NBD ()
h.connect_uri ("nbd+unix:///vda?socket=n.sock")
h.pread (65536, 0)
os.kill (os.getpid (), signal.SIGKILL)' || :
stop_nbdkit
guest_write web1 vda "write -P 5 30M 64k"
begin checkpoint=tuesday create=thursday view=sparse
for disk in vda vdb; do
  qemu-img create -q -f qcow2 -b $disk.tuesday.qcow2 -F qcow2 \
    $disk.thursday.qcow2
  nbdcopy --destination-is-zero -S 0 --request-size=65536 -- "$(uri $disk)" \
    [ qemu-nbd -f qcow2 $disk.thursday.qcow2 ]
  full_copy_of_job web1 $disk $disk.raw
done
same thursday
end
[ "$(checkpoint_names web1 | xargs)" \
  = "monday sunday thursday tuesday wednesday" ] || fail "other checkpoints"
