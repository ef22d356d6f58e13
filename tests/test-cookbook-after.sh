#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The cookbook's recipes for the time after a power loss, a restore, a lost bitmap.
. "$(dirname "$0")/cookbook.sh"

# begin: a guest with a chain of two backups, monday and tuesday.
begin ()
{
  local disk file
  rm -f ./* $images/*
  for disk in web1 web1-data; do guest_disk $images/$disk.qcow2 16M; done
  guest_define web1 $images/web1.qcow2 $images/web1-data.qcow2
  guest_start web1
  virsh checkpoint-create-as web1 monday
  writes vda "write -P 2 1M 64k"
  virsh checkpoint-create-as web1 tuesday
  for disk in vda vdb; do
    file=$images/web1.qcow2
    [ $disk = vda ] || file=$images/web1-data.qcow2
    qemu-img convert -U -O qcow2 "$file" $disk-tuesday.qcow2
  done
  writes vda "write -P 3 2M 64k"
  writes vdb "write -P 4 3M 64k"
}
# mends WHOLE…: with the recipes, the backup is right; these disks are served whole,
# and the next backup is an increment of all.
mends ()
{
  local disk status whole="$*"
  recipe after-check 2
  grep -q '^CHECKPOINTS CRITICAL' "$tmpdir/printed"
  now web1 web1-data
  recipe after-backup
  same_as "$tmpdir/web1.now" vda-wednesday.qcow2
  same_as "$tmpdir/web1-data.now" vdb-wednesday.qcow2
  [ "$(grep -c 'is served whole' "$tmpdir/said")" -eq $# ] || fail "others are served whole"
  for disk; do grep -q "disk $disk is served whole" "$tmpdir/said"; done
  [ "$whole" != vdb ] || increment vda-wednesday.qcow2 "2097152 65536"
  recipe after-delete
  writes vdb "write -P 5 5M 64k"
  now web1-data
  to=vdb-thursday.qcow2 serve libvirt="$connect" domain=web1 disk=vdb checkpoint=wednesday -- '
    qemu-img convert -f raw -O qcow2 -B vdb-wednesday.qcow2 -F qcow2 "$uri" $to'
  same_as "$tmpdir/web1-data.now" vdb-thursday.qcow2
  increment vdb-thursday.qcow2 "5242880 65536"
  qemu-checkpoint check --libvirt="$connect" --domain=web1
  guest_destroy web1
  virsh undefine web1 --checkpoints-metadata
}
lab_start

echo "══ power loss"
begin
guest_crash web1
guest_start web1
mends vda vdb

echo "══ restore"
begin
guest_quit web1
qemu-img convert -O qcow2 vdb-tuesday.qcow2 $images/web1-data.qcow2
guest_start web1
mends vdb

echo "══ lost bitmap"
begin
guest_quit web1
qemu-img bitmap --remove $images/web1-data.qcow2 tuesday
guest_start web1
mends vdb
