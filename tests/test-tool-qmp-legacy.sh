#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Bitmaps that were disabled when the next checkpoint was made, as libvirt before 6.5
# did it, in all layers of a running QEMU's disk: what is deleted is merged first, in
# backing images, too, and no older view loses a block.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/qemu-lab.sh"

here=(--qmp=q.sock --tree=tree)
write () { qemu_write q peripheral/vda/virtio-backend "write -P $1 $2 64k"; }
# next NAME: a checkpoint, whose parent does not record from now on.
last=
next ()
{
  "$tool" create "$1" "${here[@]}"
  [ -z "$last" ] || qmp q block-dirty-bitmap-disable \
    "{\"node\": \"vda\", \"name\": \"$last\"}" >/dev/null
  last=$1
}

mkdir tree
guest_disk vda.qcow2
qemu_start q -drive file=vda.qcow2,format=qcow2,if=none,id=vda \
  -device virtio-blk-pci,drive=vda,id=vda
next sunday
write 2 1M
next monday
write 3 2M
next tuesday
write 4 3M
qemu_snapshot q '{"device": "vda", "snapshot-file": "vda.1.qcow2"}'
qmp q block-dirty-bitmap-add \
  '{"node": "vda", "name": "tuesday", "persistent": true}' >/dev/null
write 5 4M
next wednesday
write 6 5M

# ── In the middle, and the one that records ──
"$tool" delete monday "${here[@]}"
write 7 6M
"$tool" delete wednesday "${here[@]}"
write 8 7M
"$tool" list "${here[@]}" --tree
qemu_state q
qemu_end q
nbdkit_options=(--filter="$filter")
for name in sunday tuesday; do
  # What only that view's blocks make of nothing is what the disk has there.
  qemu-img create -q -f qcow2 before.qcow2 64M
  qemu-io -f qcow2 -c 'write -q -P 1 0 8M' before.qcow2
  if [ $name = tuesday ]; then
    qemu-io -f qcow2 -c 'write -q -P 2 1M 64k' -c 'write -q -P 3 2M 64k' before.qcow2
  fi
  serve file=vda:vda.1.qcow2 tree=tree checkpoint=$name -- \
    'qemu-img convert -f raw -B before.qcow2 -F qcow2 -O qcow2 "$uri" now.qcow2'
  qemu-img compare -f qcow2 -F qcow2 now.qcow2 vda.1.qcow2 \
    || fail "the view since $name lost something"
done
