#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A running QEMU without libvirt, with two disks and a chain: what it has recorded
# is listed, by -drive and by -blockdev; nothing in it is changed by looking.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/qemu-lab.sh"

two_disks
truncate -s 1M firmware.raw cd.iso
truncate -s 1440k floppy.raw
qemu_start q "${disks[@]}" \
  -drive if=pflash,format=raw,file=firmware.raw \
  -drive if=floppy,format=raw,file=floppy.raw \
  -drive if=none,id=cd,media=cdrom,format=raw,file=cd.iso -device ide-cd,drive=cd \
  -drive if=none,id=ro,read-only=on,format=qcow2,file=vda.qcow2,file.locking=off \
  -device virtio-blk-pci,drive=ro
bitmap () { qmp q block-dirty-bitmap-add "{\"node\": \"$1\", \"name\": \"$2\"${3-, \"persistent\": true}}" >/dev/null; }
bitmap vda sunday
bitmap vdb-node sunday
qemu_write q peripheral/disk-a/virtio-backend 'write -P 2 1M 64k'
qemu_snapshot q '{"device": "vda", "snapshot-file": "vda.1.qcow2"}'
bitmap vda monday
bitmap vdb-node monday
# What is not persistent is no checkpoint.
bitmap vdb-node passing ''
qemu_write q peripheral/disk-a/virtio-backend 'write -P 3 2M 128k'
qemu_write q peripheral/vdb/virtio-backend 'write -P 3 0 64k'
qemu_state q >before

# ── What is there ──
"$tool" create --print-xml all --qmp=q.sock | grep -o "disk name='[^']*'" \
  | paste -sd' ' | grep -x "disk name='vda' disk name='vdb'" || fail "other disks"
"$tool" list --qmp=q.sock --size >list
cat list
grep -q '^monday  -  *192.0 KiB$' list || fail "not the size since monday"
# Two layers tell of vda.
grep -q '^sunday  -  *-$' list || fail "a size of several layers"
"$tool" list --qmp=q.sock --size --json >list.json
[ "$(jq -r '.checkpoints[] | select(.name == "sunday").sizes[].target' list.json \
  | sort | paste -sd' ')" = 'vda vdb' ] || fail "other targets"
jq -e '.checkpoints[] | select(.name == "sunday").sizes[]
  | select(.target == "vda") | .size == null
    and (.why | test("once the guest is stopped"))' list.json
jq -e '.checkpoints[] | select(.name == "sunday").sizes[]
  | select(.target == "vdb") | .size == 65536' list.json
"$tool" show monday --qmp=q.sock --size >document
grep "<disk name='vda' checkpoint='bitmap' bitmap='monday' size='131072'/>" document
"$tool" info monday --qmp=q.sock | grep '^Disks:  *vda, vdb$'
! "$tool" parent monday --qmp=q.sock || fail "a parent"
[ "$("$tool" --complete list --qmp=q.sock --from=m)" = monday ] \
  || fail "not completed"

# ── With documents, whose targets win ──
mkdir tree
cat >tree/monday.xml <<END
<domaincheckpoint><name>monday</name><creationTime>1700000000</creationTime>
  <disks><disk name='vdx' checkpoint='bitmap' bitmap='monday'/>
    <disk name='vda' checkpoint='bitmap' bitmap='monday'/></disks>
  <domain type='qemu'><name>web1</name><devices>
    <disk type='file' device='disk'><source file='$tmpdir/vda.1.qcow2'/>
      <target dev='vdx' bus='virtio'/></disk>
    <disk type='file' device='disk'><source file='$tmpdir/vdb.qcow2'/>
      <target dev='vda' bus='virtio'/></disk>
  </devices></domain>
</domaincheckpoint>
END
"$tool" show monday --qmp=q.sock --tree=tree --size >document
grep 'name="vdx".* size="131072"' document
grep 'name="vda".* size="65536"' document

# ── Nothing was changed ──
qemu_state q | diff -u before - || fail "looking has changed something"
qemu_end q
"$tool" list --file=vda:vda.1.qcow2 --file=vdb:vdb.qcow2 --name \
  | diff -u <(printf 'monday\nsunday\n') -

# ── A backing image with void bitmaps, which QEMU does not list ──
guest_layers
qemu-img bitmap --remove top.qcow2 monday
qemu-img rebase -q -u -b base.qcow2 -F qcow2 top.qcow2
qemu-img bitmap --add top.qcow2 monday
top=(-drive file=top.qcow2,format=qcow2,if=none,id=vda
     -device virtio-blk-pci,drive=vda)
printf '\0' | dd of=base.qcow2 bs=1 seek=95 conv=notrunc status=none
qemu_start q "${top[@]}"
"$tool" list --qmp=q.sock --size --json | jq -e '.checkpoints[0].sizes[0]
  | .size == null and (.why | test("all bitmaps of .*base.qcow2 are void"))' \
  || fail "a void layer is not seen"
qemu_end q

# ── A storage daemon ──
rm -f s.sock
qemu-storage-daemon --chardev socket,id=m,path=s.sock,server=on,wait=off \
  --monitor chardev=m --blockdev file,node-name=f,filename=vdb.qcow2 \
  --blockdev qcow2,node-name=disk,file=f &
pids+=($!)
wait_until 10 qmp s query-block
[ "$("$tool" list --qmp=s.sock --name | paste -sd' ')" = 'monday sunday' ] \
  || fail "the daemon's are not listed"
"$tool" info monday --qmp=s.sock | grep '^Disks:  *disk$'
