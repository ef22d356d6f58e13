#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Disks as KubeVirt has them: the guest's data are on a raw block device, which
# was there before, and a small qcow2 image beside it is there for its bitmaps.
# Whole and since a checkpoint, running and stopped, byte for byte what is on the
# device.  SEED=n repeats a run.
#
# libvirt 9.0 knows nothing of data files: QEMU opens them by the header.
. "$(dirname "$0")/libvirt-lab.sh"
. "$srcdir/tests/image-kinds.sh"

seed=${SEED:-$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}
echo "repeat with: SEED=$seed $0"
RANDOM=$seed

# An ordinary user has no block device, but a file in its stead.
kind=${file_kinds[-1]}
declare -A size=([vda]=32 [vdb]=20) device

# write_some COMMAND…: with commands of qemu-io for a disk, at random.
write_some ()
{
  local i start length command
  for ((i = 0; i < 6; i++)); do
    start=$((RANDOM % (size[$disk] * 16 - 8)))
    length=$((RANDOM % 8 + 1))
    case $((RANDOM % 4)) in
      0) command="write -z $((start * 64))k $((length * 64))k" ;;
      1) command="write -P $((RANDOM % 255 + 1)) $((start * 64 + 4))k 12k" ;;
      2) command="discard $((start * 64))k $((length * 64))k" ;;
      *) command="write -P $((RANDOM % 255 + 1)) $((start * 64))k $((length * 64))k" ;;
    esac
    "$@" "$command"
  done >>writes.log
}
to_device () { qemu-io -f raw -c "${1/write/write -q}" "${device[$disk]}"; }
to_guest () { guest_write web1 "$disk" "$1"; }

for disk in vda vdb; do
  place $kind $disk.device ${size[$disk]}M
  device[$disk]=$place
  write_some to_device
  # All of it is allocated from the start, where it lies on the device.
  # "create" would empty the device, so it makes its table with another file.
  qemu-img create -q -f qcow2 -o \
    "data_file=$PWD/empty,data_file_raw=on,preallocation=metadata" $disk.qcow2 \
    ${size[$disk]}M
  qemu-img amend -q -f qcow2 -o "data_file=$place" $disk.qcow2
  rm empty
  qemu-img compare -q -f qcow2 -F raw $disk.qcow2 "$place"
done
lab_start
guest_define web1 vda.qcow2 vdb.qcow2
guest_start web1
lab_state web1 >state

# backup TAG SINCE FROM PARAMETERS…: one server's whole disks, $disk.TAG.raw, and
# since FROM, a checkpoint or nothing, on the copies of that time.  While it
# serves the guest does $meanwhile.
meanwhile=:
backup ()
{
  local tag=$1 from=$2
  shift 2
  for disk in vda vdb; do cp "${device[$disk]}" $disk.$tag.truth; done
  start_nbdkit server.sock "$@"
  for disk in vda vdb; do $meanwhile; done
  for disk in vda vdb; do
    local uri="nbd+unix:///$disk@?socket=$PWD/server.sock"
    qemu-img convert -f raw -O raw "$uri" $disk.$tag.raw
    cmp $disk.$tag.truth $disk.$tag.raw || fail "$tag: other bytes in $disk"
    [ -n "$from" ] || continue
    uri="nbd+unix:///$disk@$from?socket=$PWD/server.sock"
    qemu-img convert -f raw -B $disk.$from.raw -F raw -O qcow2 "$uri" \
      $disk.$tag.qcow2
    qemu-img compare -q -f raw -F qcow2 $disk.$tag.truth $disk.$tag.qcow2 \
      || fail "$tag: the increment makes another disk than $disk"
    rm $disk.$tag.qcow2
    # It is an increment.
    nbdinfo --json --map "$uri" >map.json
    jq -e 'map(select(.type == 1).length) | add > 4194304' map.json >/dev/null \
      || fail "$tag: $disk is copied whole"
  done
  stop_nbdkit
}
live=(libvirt="$connect" domain=web1)
writing () { write_some to_guest; }

# Running: the whole disk, then increments, while the guest writes.
meanwhile=writing
backup monday '' "${live[@]}" create=monday
meanwhile=:
# What was written after the checkpoint is in its bitmap.
for disk in vda vdb; do write_some to_guest; done
meanwhile=writing
backup tuesday monday "${live[@]}" checkpoint=monday create=tuesday
for disk in vda vdb; do write_some to_guest; done
backup live1 monday "${live[@]}" checkpoint=monday
backup live2 tuesday "${live[@]}" checkpoint=tuesday
meanwhile=:

# Stopped.
guest_destroy web1
md5sum vda.qcow2 vdb.qcow2 "${device[@]}" >before
for from in monday tuesday; do
  backup off-$from $from "${live[@]}" checkpoint=$from
  backup file-$from $from vda:vda.qcow2 vdb:vdb.qcow2 checkpoint=$from
  backup none-$from $from vda:vda.qcow2 vdb:vdb.qcow2 checkpoint=$from \
    cache=none
done
md5sum -c --quiet before || fail "a disk was changed"

# Started again, the record goes on; a guest that runs is left alone.
guest_start web1
for disk in vda vdb; do write_some to_guest; done
refuses "in use" vda:vda.qcow2
backup again monday "${live[@]}" checkpoint=monday
backup later tuesday "${live[@]}" checkpoint=tuesday

# With a snapshot above it.
virsh snapshot-create-as web1 snap --disk-only --no-metadata \
  --diskspec "vda,file=$PWD/vda.snap" --diskspec "vdb,file=$PWD/vdb.snap"
for disk in vda vdb; do write_some to_guest; done
guest_destroy web1
nbdkit_options=(--filter="$filter")
for disk in vda vdb; do
  raw_copy $disk.snap.truth -f qcow2 $disk.snap
  start_nbdkit server.sock "${live[@]}" checkpoint=monday
  qemu-img convert -f raw -B $disk.monday.raw -F raw -O qcow2 \
    "nbd+unix:///$disk?socket=$PWD/server.sock" $disk.snap.qcow2
  stop_nbdkit
  qemu-img compare -q -f raw -F qcow2 $disk.snap.truth $disk.snap.qcow2 \
    || fail "with a snapshot: another disk than $disk"
done
nbdkit_options=()
