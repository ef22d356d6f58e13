#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Where there is no checkpoint at all, how to begin is said, whatever the source, and
# can be typed.
. "$(dirname "$0")/libvirt-lab.sh"

none='there is no checkpoint monday, nor any other; '
names () { "$tool" list --name "$@" | xargs; }

# ── Images: two, one with a name for which a shell has words ──
guest_disk "it's a disk.qcow2" 8M
guest_disk vdb.qcow2 8M
truncate -s 1M data.raw
refuses "$none.*full backup.*while the guest is still off, the first checkpoint: qemu-img bitmap --add .* monday && " \
  "it's a disk.qcow2" vdb.qcow2 checkpoint=monday
type_printed 'the first checkpoint: '
serve "it's a disk.qcow2" vdb.qcow2 checkpoint=monday -- 'nbdinfo --list "$uri"' >list
grep -c 'export="vd[ab]@monday"' list | grep -qx 2 || fail "$(cat list)"

# Of a disk beside it that is raw, nothing is to be typed.
guest_disk vda.qcow2
refuses "first checkpoint: qemu-img bitmap --add $PWD/vda.qcow2 monday\$" \
  vda.qcow2 vdb:data.raw format=vdb:raw checkpoint=monday

# ── The tool's commands, in words that the others take, too ──
for command in info "map" "delete" "estimate"; do
  status=0
  "$tool" $command monday --file=vda:vda.qcow2 >log 2>refused.log || status=$?
  [ $status -ne 0 ] && grep -q "$none" refused.log || fail "$command: $(cat refused.log)"
done
type_printed 'make the first with: '
[ "$(names --file=vda.qcow2)" = monday ] || fail "it was not made"
qemu-img bitmap --remove vda.qcow2 monday
mkdir tree
refuses "which is empty; make one with 'qemu-checkpoint create'" \
  vda.qcow2 tree=tree checkpoint=monday

# ── A guest of libvirt's: off, and running ──
lab_start
guest_define web1 vda.qcow2
whose=(--libvirt="$connect" --domain=web1)
source=(libvirt="$connect" domain=web1)
refuses "$none.*: qemu-checkpoint create monday " "${source[@]}" checkpoint=monday
type_printed 'a full backup: '
[ "$(names "${whose[@]}")" = monday ] || fail "it was not made"
"$tool" delete monday "${whose[@]}"

guest_start web1
for command in info estimate; do
  status=0
  "$tool" $command monday "${whose[@]}" >log 2>refused.log || status=$?
  [ $status -eq 1 ] || fail "$command ended with status $status"
  grep -q "$none" refused.log || fail "$command: $(cat refused.log)"
done
type_printed 'make the first with: '
[ "$(names "${whose[@]}")" = monday ] || fail "it was not made"
"$tool" delete monday "${whose[@]}"
refuses "$none.*; begin with a full backup, .*: say create=monday instead of checkpoint=monday\$" \
  "${source[@]}" checkpoint=monday
printed 'the same instant: say ' ' instead of'
serve "${source[@]}" "$printed" -- 'qemu-img convert -f raw -O qcow2 "$uri" monday.qcow2'
qemu-img compare -U -f qcow2 -F qcow2 monday.qcow2 vda.qcow2
[ "$(names "${whose[@]}")" = monday ] || fail "it was not made"
