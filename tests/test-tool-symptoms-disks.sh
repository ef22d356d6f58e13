#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The same of disks: one that was restored without its bitmaps, one of qcow2 version
# 2, two that exchanged their names, and one that a program wrote to which does not
# know bitmaps.
. "$(dirname "$0")/libvirt-lab.sh"
. "$srcdir/tests/backups.sh"

for disk in vda vdb; do guest_disk $disk.qcow2 16M; done
lab_start
guest_define web1 vda.qcow2 vdb.qcow2
guest_start web1
of=(--libvirt="$connect" --domain=web1)
write ()
{
  guest_write web1 vda "write -P $1 $1M 64k"
  guest_write web1 vdb "write -P $1 $(($1 + 1))M 64k"
}
# full_of_vdb CHECKPOINT: which full_backup made for vda.
full_of_vdb ()
{
  rm -f vdb.full
  serve libvirt="$connect" domain=web1 checkpoint="$1" disk=vdb -- '
    qemu-img convert -f raw -O qcow2 "nbd+unix:///vdb@?socket=$unixsocket" vdb.full'
}
new_checkpoint ()
{
  full_backup vda "$1"
  full_of_vdb "$1"
}

new_checkpoint monday
write 1
virsh destroy web1
is_ok "${of[@]}"

# ── 4. One disk restored from a backup, which has no bitmaps ──
qemu-img convert -f qcow2 -O qcow2 vda.full restored.qcow2
mv restored.qcow2 vda.qcow2
finds checkpoint-without-bitmap "${of[@]}"
[ $checked -eq 2 ] || fail "status $checked"
jq -e '[.views[] | "\(.disk) \(.usable)"] == ["vda false", "vdb true"]' found.json
mends checkpoint-without-bitmap "${of[@]}"
# The other one is not lost with it.
incremental_backup vdb monday
guest_start web1
is_ok "${of[@]}"
incremental_backup vdb monday
virsh checkpoint-delete web1 monday
new_checkpoint tuesday
write 2
for disk in vda vdb; do incremental_backup $disk tuesday; done

# ── 6. Names exchanged ──
virsh destroy web1
virsh dumpxml --inactive web1 | sed "s/dev='vda'/dev='@'/; s/dev='vdb'/dev='vda'/
  s/dev='@'/dev='vdb'/" >exchanged.xml
virsh define exchanged.xml
guest_start web1
finds names-exchanged "${of[@]}"
running=$command
virsh destroy web1
finds names-exchanged "${of[@]}"
[ $checked -eq 2 ] || fail "status $checked"
[ "$command" = "$running" ] || fail "another command while it runs: $running"
mends names-exchanged "${of[@]}"
is_ok "${of[@]}"
for disk in vda vdb; do incremental_backup $disk tuesday; done

# ── 7. A program that does not know bitmaps has written ──
printf '\0' | dd of=vda.qcow2 bs=1 seek=95 conv=notrunc status=none
finds void-layer "${of[@]}"
mends void-layer "${of[@]}"
mends checkpoint-without-bitmap "${of[@]}"
is_ok "${of[@]}"
incremental_backup vdb tuesday
guest_start web1
is_ok "${of[@]}"
virsh checkpoint-delete web1 tuesday
new_checkpoint wednesday
write 3
for disk in vda vdb; do incremental_backup $disk wednesday; done

# ── 5. qcow2 version 2 ──
virsh checkpoint-delete web1 wednesday
virsh destroy web1
qemu-img amend -f qcow2 -o compat=0.10 vdb.qcow2
guest_start web1
finds version-2 "${of[@]}"
virsh destroy web1
mends version-2 "${of[@]}"
is_ok "${of[@]}"
guest_start web1
new_checkpoint thursday
write 4
for disk in vda vdb; do incremental_backup $disk thursday; done
is_ok "${of[@]}"
