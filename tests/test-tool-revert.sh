#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A snapshot is reverted: the guest goes on with the disk as it was then, which has
# no bitmap of the checkpoints that were made since.  The next checkpoint is no child
# of these: the tree branches.  check tells what each branch is still good for, and
# backups since the checkpoints that led here are right.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/qemu-lab.sh"

documents=--tree=tree
# start FILE: the guest, with this disk.
start ()
{
  qemu_start q -drive "file=$1,format=qcow2,if=none,id=vda" \
    -device virtio-blk-pci,drive=vda,id=disk-a
}
write () { qemu_write q peripheral/disk-a/virtio-backend "write -P $1 $2"; }
# parent_of NAME, by its document.
parent_of () { "$tool" parent "$1" $documents 2>/dev/null || :; }

guest_disk vda.qcow2 16M
start vda.qcow2
"$tool" create monday --qmp=q.sock $documents
cp vda.qcow2 monday.full.qcow2
write 2 '1M 64k'
qemu_snapshot q '{"device": "vda", "snapshot-file": "'"$PWD"'/over.qcow2", "format": "qcow2"}'
write 3 '2M 64k'
"$tool" create tuesday --qmp=q.sock $documents
write 4 '3M 64k'
"$tool" create wednesday --qmp=q.sock $documents
[ "$(parent_of wednesday)" = tuesday ] || fail "wednesday has another parent"
qemu_end q

# With all of its disks, the guest is where it was.
[ "$("$tool" current --file=vda:over.qcow2 $documents)" = wednesday ] \
  || fail "not wednesday"

# ── Back to the snapshot ──
rm over.qcow2
at=(--file=vda:vda.qcow2 "$documents")
[ "$("$tool" current "${at[@]}")" = monday ] || fail "it went on from monday"
[ "$("$tool" current $documents)" = wednesday ] \
  || fail "documents alone tell of no revert"
"$tool" info monday "${at[@]}" | grep '^Current: *yes'
start vda.qcow2
write 5 '4M 64k'
"$tool" create thursday --qmp=q.sock $documents
write 6 '5M 64k'
qemu_end q
[ "$(parent_of thursday)" = monday ] || fail "it is the child of $(parent_of thursday)"
# The tree has two ends now, and one of them is where the disk is.
[ "$("$tool" current "${at[@]}")" = thursday ] || fail "not thursday"
"$tool" create friday "${at[@]}"
[ "$(parent_of friday)" = thursday ] || fail "it is the child of $(parent_of friday)"
"$tool" list --tree $documents | grep -v '^[ |]*$' >tree.drawn
printf '%s\n' monday '  +- thursday' '  |   +- friday' '  +- tuesday' \
  '      +- wednesday' | diff -u - tree.drawn

# ── What remains usable ──
finds checkpoint-without-bitmap "${at[@]}"
jq -rs '.[].checkpoints[]' found | sort | diff -u <(printf '%s\n' tuesday wednesday) -
[ "$checked" -eq 2 ] || fail "status $checked"
finds branched-tree "${at[@]}"
for words in 'on the way to friday backups can be made since: friday, thursday, monday' \
    'on the way to wednesday backups can be made since: monday' \
    'the next checkpoint has the parent friday'; do
  grep -q "$words" found.json || fail "not told: $words"
done
for name in monday thursday; do
  qemu_dirty vda.qcow2 $name >want
  serve vda.qcow2 tree=tree checkpoint=$name -- 'nbdinfo --map --json "$uri"' \
    | jq -r '.[] | select(.type != 1) | "\(.offset) \(.length)"' \
    | join_ranges | diff -u want - || fail "since $name"
done
# Since monday: what was written before the snapshot, and after the revert.
qemu_dirty vda.qcow2 monday | diff -u - <(printf '%s\n' '1048576 65536' \
  '4194304 65536' '5242880 65536')
serve vda.qcow2 tree=tree checkpoint=monday -- \
  'qemu-img convert -f raw -B monday.full.qcow2 -F qcow2 -O qcow2 "$uri" inc.qcow2'
qemu-img compare -f qcow2 -F qcow2 inc.qcow2 vda.qcow2

# What is lost is forgotten, as it says; then nothing is left to be said.
for i in 1 2; do
  finds checkpoint-without-bitmap "${at[@]}"
  type_it "$command"
done
"$tool" check "${at[@]}" || fail "it finds more"
[ "$("$tool" list $documents --name | paste -sd' ')" = 'friday monday thursday' ] \
  || fail "others are left"
leaves_nothing
