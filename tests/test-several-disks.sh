#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Several disks from one server: each has its own exports and its own data;
# disk= says which one the empty name means.
. "$(dirname "$0")/functions.sh"

for n in 1 2 3; do
  qemu-img create -q -f qcow2 $n.qcow2 ${n}M
  qemu-img bitmap --add $n.qcow2 monday
  qemu-io -f qcow2 -c "write -q -P $n 0 64k" $n.qcow2
done
qemu-img bitmap --add 3.qcow2 tuesday

serve 1.qcow2 2.qcow2 sdx:3.qcow2 -- 'nbdinfo --list --json "$uri"' >list.json
[ "$(jq -r '[.exports[]["export-name"]] | join(" ")' list.json)" \
  = "vda vda@monday vdb vdb@monday sdx@monday sdx@tuesday vda@ vdb@ sdx@" ] \
  || fail "$(cat list.json)"

for case in 'vda 1' 'vdb 2' 'sdx 3'; do
  set -- $case
  serve 1.qcow2 2.qcow2 sdx:3.qcow2 checkpoint=monday disk=$1 -- '
    nbdinfo --size "$uri" >size; nbdcopy "$uri" copy'
  [ "$(cat size)" = $((1048576 * $2)) ] || fail "disk=$1: wrong size"
  qemu-img compare -f raw -F qcow2 copy $2.qcow2 \
    || fail "disk=$1: another disk's data"
done
