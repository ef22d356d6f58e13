#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# coalesce=SIZE joins dirty runs over gaps of up to SIZE, not over longer
# ones, nor between zeroes; the result is still a correct backup.
. "$(dirname "$0")/functions.sh"

guest_disk disk.qcow2
qemu-img bitmap --add disk.qcow2 monday
cp disk.qcow2 monday.qcow2
qemu-io -f qcow2 -c 'write -q -P 2 1M 64k' -c 'write -q -P 2 1152k 64k' \
  -c 'write -q -P 2 1408k 64k' -c 'write -q -z 3M 64k' \
  -c 'write -q -z 3200k 64k' -c 'write -q -P 3 3328k 64k' disk.qcow2

# map COALESCE: "start end type" of what is not clean, in units of 64k.
map ()
{
  serve disk.qcow2 checkpoint=monday coalesce="$1" -- '
    nbdinfo --map --json "$uri"' \
    | jq -r '.[] | select(.type != 1)
             | "\(.offset / 65536) \((.offset + .length) / 65536) \(.type)"' \
    | paste -sd,
}
expect ()
{
  local got
  got=$(map "$1")
  [ "$got" = "$2" ] || fail "coalesce=$1 gives '$got', not '$2'"
}
expect 0 '16 17 0,18 19 0,22 23 0,48 49 3,50 51 3,52 53 0'
expect 65535 '16 17 0,18 19 0,22 23 0,48 49 3,50 51 3,52 53 0'
expect 64k '16 19 0,22 23 0,48 49 3,50 51 3,51 53 0'
expect 192k '16 23 0,48 49 3,50 51 3,51 53 0'
expect 1G '16 48 0,48 49 3,50 51 3,51 53 0'

serve disk.qcow2 checkpoint=monday coalesce=1M -- '
  qemu-img convert -f raw -B monday.qcow2 -F qcow2 -O qcow2 "$uri" inc.qcow2'
qemu-img compare -f qcow2 -F qcow2 disk.qcow2 inc.qcow2
