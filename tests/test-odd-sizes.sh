#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Views show exactly QEMU's bitmap whatever its granularity and the size of
# the disk: no multiple of the granularity, dirty or clean at the end, all
# dirty, all clean.
. "$(dirname "$0")/functions.sh"

# compare DISK: its view against the truth, and both copies against the disk.
compare ()
{
  serve "$1" -- '
    nbdinfo --json --map "$uri" >map.json
    nbdinfo --size "$uri" >size
    nbdcopy "$uri" copy.raw'
  jq -r '.[] | select(.type != 1) | "\(.offset) \(.length)"' map.json \
    | join_ranges >got
  qemu_dirty "$1" monday | join_ranges >want
  diff -u want got || fail "$1: another map than the bitmap's"
  jq -r '.[] | "\(.offset) \(.length)"' map.json | join_ranges >whole
  [ "$(cat whole)" = "0 $(size_of "$1")" ] \
    || fail "$1: the map is of $(cat whole)"
  [ "$(cat size)" = "$(size_of "$1")" ] || fail "$1: size $(cat size)"
  # What a client gets is the disk: also its last bytes.
  qemu-img compare -q -f qcow2 -F raw "$1" copy.raw || fail "$1: other bytes"
  rm copy.raw
}
size_of () { qemu-img info --output=json "$1" | jq '."virtual-size"'; }
expect () { [ "$(cat got)" = "$1" ] || fail "the map is $(cat got), not $1"; }
# disk SIZE GRANULARITY QEMU-IO-COMMAND…
disk ()
{
  rm -f disk.qcow2
  qemu-img create -q -f qcow2 disk.qcow2 "$1"
  if [ "$1" -gt 0 ]; then
    qemu-io -f qcow2 -c "write -q -P 1 0 $1" disk.qcow2
  fi
  qemu-img bitmap --add -g "$2" disk.qcow2 monday
  local i
  for i in "${@:3}"; do qemu-io -f qcow2 -c "$i" disk.qcow2; done
}

# 1000 KiB and a sector: no multiple of any granularity but 512.
size=1024512
for granularity in 512 4096 65536 2097152; do
  last=$(((size - 1) / granularity * granularity))
  disk $size $granularity "write -q -P 2 $((size - 512)) 512"
  compare disk.qcow2
  expect "$last $((size - last))"

  disk $size $granularity 'write -q -P 2 512 512' 'write -q -z 200k 64k' \
    'discard -q 400k 128k' 'write -q -P 3 900k 512'
  compare disk.qcow2
done

# Clean and dirty from the first byte to the last.
for granularity in 512 65536; do
  disk $size $granularity
  compare disk.qcow2
  expect ""
  disk $size $granularity "write -q -P 2 0 $size"
  compare disk.qcow2
  expect "0 $size"
done

# The smallest disks.
for size in 512 65536; do
  disk $size 65536
  compare disk.qcow2
  expect ""
  disk $size 65536 "write -q -P 2 $((size - 512)) 512"
  compare disk.qcow2
  expect "0 $size"
done
