#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The cookbook's recipes for guests on LVM, with data files, with LUKS.  The volumes of
# /dev/vg0 are block devices, but loop devices, as there is no device mapper here.
. "$(dirname "$0")/cookbook.sh"
. "$srcdir/tests/image-kinds.sh"
trap cookbook_end EXIT

# A /dev of this test's own, to have volumes by their names.
mkdir /run/lab/upper /run/lab/work /run/lab/dev
mount -t overlay -o lowerdir=/dev,upperdir=/run/lab/upper,workdir=/run/lab/work \
  overlay /run/lab/dev
mount --rbind /run/lab/dev /dev
for folder in pts shm; do mkdir -p /dev/$folder; done
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t devpts devpts /dev/pts
mkdir /dev/vg0

# volume NAME SIZE
volume ()
{
  local device
  truncate -s "$2" "$tmpdir/$1.volume"
  device=$(losetup --find --show "$tmpdir/$1.volume")
  loops+=("$device")
  ln -s "$device" "/dev/vg0/$1"
}
volume web1-data 8M
# Beside the raw disk is one in qcow2.
guest_disk $images/web1.qcow2 16M
qemu-io -f raw -c 'write -q -P 1 0 4M' /dev/vg0/web1-data
lab_start
guest_define web1 $images/web1.qcow2
virsh attach-disk web1 /dev/vg0/web1-data vdb --config --sourcetype block --subdriver raw
guest_start web1
virsh checkpoint-create-as web1 monday --diskspec vda --diskspec vdb,checkpoint=no
qemu-img convert -U -O qcow2 $images/web1.qcow2 vda-monday.qcow2
qemu-img convert -U -f raw -O qcow2 /dev/vg0/web1-data vdb-monday.qcow2
writes vda "write -P 2 1M 64k"
writes vdb "write -P 3 2M 64k"
now web1
recipe lvm-raw
same_as "$tmpdir/web1.now" vda-tuesday.qcow2
increment vda-tuesday.qcow2 "1048576 65536"
same_as /dev/vg0/web1-data vdb-tuesday.qcow2
grep -q 'disk vdb is copied whole' "$tmpdir/said"

guest_quit web1
recipe lvm-measure
size=$(sed -n 's/^fully allocated size: //p' "$tmpdir/printed")
volume web1-new $(((size + size / 100 + (1 << 20)) & ~65535))
recipe lvm-qcow2
guest_start web1
serve libvirt="$connect" domain=web1 checkpoint=tuesday create=wednesday \
  on-missing=full scratch-dir=/var/tmp -- '
  qemu-img convert -f raw -O qcow2 "nbd+unix:///vdb?socket=$unixsocket" vdb-wednesday.qcow2'
same_as /dev/vg0/web1-data vdb-wednesday.qcow2
writes vdb "write -P 4 5M 64k"
qemu-io -f raw -c 'write -q -P 4 5M 64k' /dev/vg0/web1-data
serve libvirt="$connect" domain=web1 disk=vdb checkpoint=wednesday \
  scratch-dir=/var/tmp -- '
  qemu-img convert -f raw -O qcow2 -B vdb-wednesday.qcow2 -F qcow2 "$uri" vdb-thursday.qcow2'
same_as /dev/vg0/web1-data vdb-thursday.qcow2
increment vdb-thursday.qcow2 "5242880 65536"
guest_quit web1
virsh undefine web1 --checkpoints-metadata

recipe data-file
same_as $images/web1-data.raw vdb-tuesday.qcow2 $images/web1-data.qcow2
qemu-img info --output=json $images/web1-data.qcow2 \
  | jq -e '."format-specific".data."data-file-raw"'

# ── LUKS ──
rm $images/*.qcow2 ./*
printf tops3cret >/srv/web1.key
printf anoth3r >/srv/backup.key
create_slowly --object secret,id=key,file=/srv/web1.key -f qcow2 \
  -o encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10 $images/web1.qcow2 8M
disk=(--object "secret,id=key,file=/srv/web1.key" --image-opts)
opened=driver=qcow2,encrypt.key-secret=key,file.filename=$images/web1.qcow2
qemu-io "${disk[@]}" -c 'write -q -P 1 0 4M' $opened
guest_define web1 $images/web1.qcow2
truth () { qemu-img convert "${disk[@]}" -O raw $opened "$tmpdir/web1.now"; }
truth
recipe luks-first
same_as "$tmpdir/web1.now" vda-monday.qcow2
qemu-io "${disk[@]}" -c 'write -q -P 2 1M 64k' $opened
truth
recipe luks-next
same_as "$tmpdir/web1.now" vda-tuesday.qcow2
increment vda-tuesday.qcow2 "1048576 65536"
tries=0                         # LUKS measures the processor, and gives up if it is busy
until (recipe luks-backup); do
  grep -q 'accurate CPU usage' "$tmpdir/said" && [ $((++tries)) -lt 10 ] \
    || fail "no encrypted backup"
done
qemu-img compare -q --object secret,id=key,file=/srv/backup.key --image-opts \
  driver=raw,file.filename="$tmpdir/web1.now" \
  driver=qcow2,encrypt.key-secret=key,file.filename=vda-encrypted.qcow2
! grep -qaP '\x01{4096}' vda-encrypted.qcow2 || fail "not encrypted"
