#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A stopped guest whose disk is qcow2 on a block device, and one whose overlay lies
# on another: read as files are, locks and all.
LAB_ROOT_ONLY=1                 # only root has devices
. "$(dirname "$0")/libvirt-lab.sh"
requires losetup

# device FILE: $device has its bytes, until this shell ends, however it does.
device ()
{
  local hold
  device=$(losetup -f --show "$1") || skip "no loop devices here"
  exec {hold}<"$device"
  losetup -d "$device"
}
truncate -s 32M a.img
device a.img
vda=$device
qemu-img create -q -f qcow2 "$vda" 16M
qemu-io -f qcow2 -c 'write -q -P 1 0 4M' "$vda"
truncate -s 16M b.img
device b.img
base=$device
qemu-io -f raw -c 'write -q -P 7 0 4M' "$base"
qemu-img create -q -f qcow2 -b "$base" -F raw vdb.qcow2

lab_start
guest_define web1 a.qcow2 vdb.qcow2
sed "s,<name>,<uuid>$(virsh domuuid web1)</uuid>&,
  s,<disk type='file' device='disk'>,<disk type='@' device='disk'>,
  s,<source file='[^']*/a.qcow2'/>,<source dev='$vda'/>," lab/web1.xml \
  | sed "0,/type='@'/s//type='block'/; s/type='@'/type='file'/" >web1.xml
virsh define web1.xml
guest_start web1
virsh checkpoint-create-as web1 monday
guest_write web1 vda "write -P 2 1M 192k"
guest_write web1 vdb "write -P 3 2M 64k"
# Its locks are seen on a device, too.
refuses "$vda is in use by another program" "vda:$vda" checkpoint=monday
guest_destroy web1

sha256sum "$vda" "$base" vdb.qcow2 >before
serve libvirt="$connect" domain=web1 checkpoint=monday view=sparse -- '
  for disk in vda vdb; do
    nbdinfo --map --json "nbd+unix:///$disk?socket=$unixsocket" >$disk.map
    nbdcopy "nbd+unix:///$disk@?socket=$unixsocket" $disk.raw
  done
  # Nobody writes while this serves.
  ! qemu-io -f qcow2 -c "write 0 64k" '"$vda"' >locked 2>&1'
grep -q lock locked || fail "not locked: $(cat locked)"
qemu-img compare -f raw -F qcow2 vda.raw "$vda"
qemu-img compare -f raw -F qcow2 vdb.raw vdb.qcow2
for disk in vda vdb; do
  jq -r '.[] | select(.type == 0 or .type == 2) | "\(.offset) \(.length)"' \
    $disk.map >$disk.got
done
diff -u <(echo 1048576 196608) vda.got
diff -u <(echo 2097152 65536) vdb.got
sha256sum -c --quiet before || fail "an image was changed"

# What the definition tells below may be a device.
sed "s,\(<source file='[^']*/vdb.qcow2'/>\),\1<backingStore type='block'><format type='raw'/><source dev='$base'/><backingStore/></backingStore>," \
  web1.xml >told.xml
virsh define told.xml
serve libvirt="$connect" domain=web1 checkpoint=monday -- '
  nbdcopy "nbd+unix:///vdb@?socket=$unixsocket" again.raw' 2>log
cmp vdb.raw again.raw
! grep 'in its chain' log || fail "a false alarm"
