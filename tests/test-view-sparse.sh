#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# view=sparse: nbdcopy --destination-is-zero -S 0 onto an overlay copies
# exactly the dirty blocks, those that became zero included.
. "$(dirname "$0")/functions.sh"

guest_disk disk.qcow2
qemu-img bitmap --add disk.qcow2 monday
cp disk.qcow2 monday.qcow2
qemu-io -f qcow2 -c 'write -q -P 2 100k 300k' -c 'write -q -z 2M 1M' \
  -c 'discard -q 4M 128k' -c 'write -q -P 3 40M 64k' disk.qcow2
qemu_dirty disk.qcow2 monday >want

qemu-img create -q -f qcow2 -b monday.qcow2 -F qcow2 copy.qcow2
serve disk.qcow2 checkpoint=monday view=sparse -- '
  nbdinfo --map --json "$uri" >map.json
  nbdcopy --destination-is-zero -S 0 --request-size=65536 -- "$uri" \
    [ qemu-nbd -f qcow2 copy.qcow2 ]'

jq -r '.[] | select(.type == 0) | "\(.offset) \(.length)"' map.json \
  | join_ranges >got
diff -u want got || fail "other ranges than the bitmap's are data"
jq -e 'all(.type == 0 or .type == 3)' map.json >/dev/null \
  || fail "clean must be hole and zero"
qemu-img compare -f qcow2 -F qcow2 disk.qcow2 copy.qcow2
allocated copy.qcow2 >got
diff -u want got || fail "nbdcopy wrote other clusters than the dirty ones"
