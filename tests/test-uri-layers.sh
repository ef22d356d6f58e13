#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# With several uri=, a layer whose server does not offer the bitmap, or does not
# list any, may hold a part of the record: it is refused, not left out.
. "$(dirname "$0")/functions.sh"

qemu-img create -q -f qcow2 base.qcow2 16M
qemu-img bitmap --add base.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 2 1M 64k' base.qcow2
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
qemu-img bitmap --add top.qcow2 monday
qemu-img bitmap --add top.qcow2 tuesday
qemu-io -f qcow2 -c 'write -q -P 3 2M 64k' top.qcow2

# export_layer SOCKET IMAGE OPTIONS…
export_layer ()
{
  local name=$1 image=$2
  shift 2
  qemu-nbd -r -f qcow2 -t -e 30 -k "$PWD/$name.sock" "$@" "$image" &
  pids+=($!)
  wait_until 10 listens $name.sock
}
uri () { echo "uri=nbd+unix:///?socket=$PWD/$1.sock"; }
export_layer top top.qcow2 -B monday -B tuesday
export_layer base base.qcow2 -B monday
export_layer plain base.qcow2
export_layer depth base.qcow2 -A

for options in "" "--filter=$filter"; do
  nbdkit_options=(${options:+"$options"})
  for base in plain depth; do
    refuses "$base.sock does not offer bitmap monday" \
      "$(uri top)" "$(uri $base)" checkpoint=monday
    refuses "$base.sock does not offer bitmap monday" \
      "$(uri top)" "$(uri $base)" bitmap=monday
  done
  # Nobody knows whether the base is older than tuesday.
  refuses "base.sock does not offer bitmap tuesday" \
    "$(uri top)" "$(uri base)" checkpoint=tuesday
done
serve "$(uri top)" "$(uri base)" checkpoint=monday -- \
  'nbdinfo --map --json "$uri"' \
  | jq -ce '[.[] | select(.type == 0) | .offset / 1048576]' | grep -x '\[1,2\]'
serve "$(uri top)" checkpoint=tuesday -- 'nbdinfo --map --json "$uri"' \
  | jq -ce '[.[] | select(.type == 0) | .offset / 1048576]' | grep -x '\[2\]'

# Of a later bitmap, and of one beside it, a layer may hold a part as well: in
# whatever order they are given.
mkdir tree
for row in 'monday  1' 'tuesday monday 2'; do
  set -- $row
  [ $# -eq 3 ] || set -- "$1" '' "$2"
  cat >tree/$1.xml <<END
<domaincheckpoint><name>$1</name>${2:+<parent><name>$2</name></parent>}
  <creationTime>170000000$3</creationTime>
  <disks><disk name='vda' checkpoint='bitmap' bitmap='$1'/></disks></domaincheckpoint>
END
done
refuses "base.sock does not offer bitmap tuesday" \
  "$(uri top)" "$(uri base)" tree=tree checkpoint=monday
for bitmaps in "bitmap=monday bitmap=tuesday" "bitmap=tuesday bitmap=monday"; do
  refuses "base.sock does not offer bitmap tuesday" \
    "$(uri top)" "$(uri base)" $bitmaps
done
