#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Checkpoints of a running QEMU without libvirt are made and deleted, with documents
# and without, on chains; backing images are read-only again afterwards, with the
# options that they had.  What is there after QEMU has ended is right, byte by byte.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/qemu-lab.sh"

here=(--qmp=q.sock --tree=tree)
mkdir tree
two_disks
qemu_start q "${disks[@]}"
# changes NAMES ARGS…: afterwards, those checkpoints are there.
changes ()
{
  local names=$1
  shift
  "$tool" "$@" "${here[@]}" || fail "qemu-checkpoint $*"
  [ "$("$tool" list "${here[@]}" --name | paste -sd' ')" = "$names" ] \
    || fail "other checkpoints after qemu-checkpoint $*"
}
# has FILE NAMES: the bitmaps of that image, in QEMU's memory.
has ()
{
  [ "$(qmp q query-named-block-nodes '{"flat": true}' | jq -r --arg file "$1" '
    [.[] | select(.drv == "qcow2" and (.file | endswith($file)))
     | ."dirty-bitmaps"[]?.name] | sort | join(" ")')" = "$2" ] \
    || fail "$1 has other bitmaps"
}
write ()
{
  qemu_write q peripheral/disk-a/virtio-backend "write -P $1 $2"
  qemu_write q peripheral/vdb/virtio-backend "write -P $1 $3"
}

# ── Made, on all disks, before and after a snapshot ──
changes sunday create sunday --description 'A chain below'
write 2 '1M 64k' '2M 64k'
changes 'monday sunday' create monday
write 3 '3M 64k' '4M 64k'
qemu_snapshot q '{"device": "vda", "snapshot-file": "vda.1.qcow2"}'
# As libvirt does with a snapshot, by the tool itself: bitmaps go on above.
for name in sunday monday; do
  qmp q block-dirty-bitmap-add \
    "{\"node\": \"vda\", \"name\": \"$name\", \"persistent\": true}" >/dev/null
done
changes 'monday sunday tuesday' create tuesday
write 4 '5M 128k' '6M 64k'
has vda.qcow2 'monday sunday'
has vda.1.qcow2 'monday sunday tuesday'
has vdb.qcow2 'monday sunday tuesday'
"$tool" list "${here[@]}" --tree
[ "$("$tool" parent tuesday "${here[@]}")" = monday ] || fail "another parent"
[ "$("$tool" current "${here[@]}")" = tuesday ] || fail "another is current"
xmllint --noout tree/*.xml 2>/dev/null || ! command -v xmllint || fail "no XML"
"$tool" list "${here[@]}" --size | grep -q '^tuesday .* 192.0 KiB$' \
  || fail "another size"

# ── Deleted, in all layers ──
qemu_state q >before
tool_says 2 'already exists' create monday "${here[@]}"
tool_says 1 'there is no checkpoint never' delete never "${here[@]}"
qemu_state q | diff -u before - || fail "a refusal has changed something"
changes 'sunday tuesday' delete monday
has vda.qcow2 sunday
has vda.1.qcow2 'sunday tuesday'
qemu_state q | sed 's/\["monday",true,true,65536\],*//' >after
sed 's/\["monday",true,true,65536\],*//' before | diff -u - after \
  || fail "more than a bitmap has changed"
[ "$("$tool" parent tuesday "${here[@]}")" = sunday ] || fail "an orphan"
changes 'sunday tuesday wednesday' create wednesday --disk vdb
has vda.1.qcow2 'sunday tuesday'
has vdb.qcow2 'sunday tuesday wednesday'
write 5 '7M 64k' '7M 64k'
changes 'sunday tuesday' delete tuesday --children-only
changes 'sunday' delete tuesday --metadata
has vdb.qcow2 'sunday tuesday'
tool_says 2 'tuesday' create tuesday "${here[@]}"
# A document that cannot be kept: what was made is taken back.
mkdir -p tree/friday.xml/in-the-way
tool_says 2 'tree/friday.xml' create friday "${here[@]}"
rm -r tree/friday.xml
has vda.1.qcow2 'sunday tuesday'
has vdb.qcow2 'sunday tuesday'
no_undo || fail "a process is left"

# ── What QEMU saves when it ends ──
qemu_end q
qemu-img info --output=json vda.qcow2 | jq -e '
  ."format-specific".data.bitmaps | [.[] | [.name, (.flags | join(","))]]
  == [["sunday", "auto"]]'
# view DISK: all of it, through the plugin, onto what the disk was on sunday.
"$tool" list --tree=tree --file=vda:vda.1.qcow2 --file=vdb:vdb.qcow2 --size
nbdkit_options=(--filter="$filter")
for disk in vda:vda.1.qcow2 vdb:vdb.qcow2; do
  qemu-img create -q -f qcow2 sunday.qcow2 64M
  qemu-io -f qcow2 -c 'write -q -P 1 0 8M' sunday.qcow2
  serve "file=$disk" tree=tree checkpoint=sunday -- \
    'qemu-img convert -f raw -B sunday.qcow2 -F qcow2 -O qcow2 "$uri" now.qcow2'
  qemu-img compare -f qcow2 -F qcow2 now.qcow2 "${disk#*:}" \
    || fail "the view of $disk is wrong"
done
