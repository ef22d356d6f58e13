#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# What is forgotten, left empty or given twice of map, estimate, files and verify is
# recognised, also of a guest that runs; what is then printed works, and a checkpoint
# need not be named if it is the only one.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/qemu-lab.sh"
PATH=$builddir/tool:$PATH

guest_disk disk.qcow2
qemu-img bitmap --add disk.qcow2 monday
cp disk.qcow2 backup.qcow2
mkdir tree

# ── Words ──
tool_says 2 'commands are: .*, map, estimate, files, verify$'
for command in show map estimate files; do
  tool_says 2 "$command is given an empty name; write" "$command" '' --file=disk.qcow2
done
tool_says 2 'verify is given an empty name; .* verify BACKUP' verify '' --file=disk.qcow2
tool_says 2 'verify takes one BACKUP, and is given b' verify backup.qcow2 b --file=disk.qcow2
tool_says 2 'backup tree is a folder; name an image' verify tree --file=disk.qcow2
tool_says 2 '--seed=-1 is no number; write' verify backup.qcow2 --file=disk.qcow2 \
  --sample=5 --seed=-1
tool_says 2 '--json and --extents are given; leave one' map --json --extents --file=disk.qcow2

# ── Disks without a record are compared whole, and nothing is said of serving ──
qemu-img convert -O raw disk.qcow2 disk.raw
for full in '' --full; do
  # shellcheck disable=SC2086
  "$tool" verify disk.qcow2 --file=disk.raw --format=raw $full >said 2>&1 || fail "$(cat said)"
  [ "$(cat said)" = 'disk.qcow2 equals disk vda: all of 64.0 MiB' ] || fail "$(cat said)"
done

# ── Whose disks ──
for command in map estimate files 'verify backup.qcow2'; do
  # shellcheck disable=SC2086
  tool_says 2 'no source is given; add .*--uri=NBD-URI' $command
  # shellcheck disable=SC2086
  tool_says 2 '--tree alone has no disks; add --file=IMG' $command --tree=tree
  # shellcheck disable=SC2086
  tool_says 2 '--tree goes with --file or --qmp' $command --tree=tree \
    --libvirt=test:///default --domain=test
done

# ── A guest that runs, and one disk of which has a record ──
two_disks
qemu_start q "${disks[@]}"
whose=(--qmp=q.sock)
idle ()
{
  [ "$(qmp q query-jobs)" = '[]' ] && [ "$(qmp q query-block-exports)" = '[]' ]
}
tool_says 2 'no checkpoint, so nothing was recorded; .* type: ' files "${whose[@]}"
tool_says 2 'to compare all, add --full: disk vda: no checkpoint covers it' \
  verify backup.qcow2 "${whose[@]}" --disk=vda
tool_says 2 'no checkpoint, so nothing was recorded; .* type: ' map "${whose[@]}"
printed 'to make one, type: '
type_it "${printed/NAME/monday} --disk=vda"
qemu_write q peripheral/disk-a/virtio-backend 'write -P 2 1M 128k'
"$tool" map "${whose[@]}" --disk=vda --extents >printed
grep -qx '1048576 131072' printed || fail "not since the only checkpoint: $(cat printed)"
wait_until 10 idle
"$tool" verify backup.qcow2 "${whose[@]}" --disk=vda >said && fail "they are equal"
grep -q 'changed since monday differ' said || fail "$(cat said)"
wait_until 10 idle
tool_says 1 'checkpoint monday does not cover disk vdb' files "${whose[@]}"
"$tool" files "${whose[@]}" --json >files.json 2>/dev/null && fail "vdb was not left out"
jq -e '.checkpoint == "monday" and .creationTime == null and .disks == ["vda"]
  and .leftOut == ["vdb"]' files.json || fail "$(cat files.json)"
! grep -q '_' <(jq -r '.. | objects | keys[]' files.json) || fail "another way to name"
wait_until 10 idle

# ── Which checkpoint, and which disk ──
"$tool" create tuesday "${whose[@]}"
tool_says 2 'since one checkpoint: name that .NAME. of monday, tuesday$' files "${whose[@]}"
tool_says 2 'name that .NAME. of monday, tuesday$' map "${whose[@]}" --disk=vda
tool_says 2 'there is no disk vdz; disks are: vda, vdb' map "${whose[@]}" --disk=vdz
tool_says 2 'name that .--since=NAME, .* or --full. of monday, tuesday' \
  verify backup.qcow2 "${whose[@]}"
tool_says 2 'none is chosen; add --disk= with one of vda, vdb$' \
  map tuesday "${whose[@]}" --json
wait_until 10 idle

# ── What is due once a backup was found to be wrong, of that disk ──
"$tool" verify backup.qcow2 "${whose[@]}" --disk=vda --taken-at=monday >said \
  || fail "they differ: $(cat said)"
qemu-io -f qcow2 -c 'write -q -P 9 8M 64k' backup.qcow2
wait_until 10 idle
"$tool" verify backup.qcow2 "${whose[@]}" --disk=vda --taken-at=monday >said \
  && fail "they are equal"
wait_until 10 idle
printed '^    ' '' said
type_it "$printed"
"$tool" verify FULL.qcow2 "${whose[@]}" --disk=vda --taken-at=NEW
wait_until 10 idle
qemu_end q
