#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# uri= may repeat, for layers exported one by one, and bitmap=, for several
# bitmaps of one server: united, they are what file= finds in the chain.
. "$(dirname "$0")/functions.sh"

guest_layers

# export_layer NAME OPTIONS…
export_layer ()
{
  local name=$1
  shift
  qemu-nbd -r -f qcow2 -t -e 30 -k "$PWD/$name.sock" "$@" $name.qcow2 &
  pids+=($!)
  wait_until 10 listens $name.sock
}
uri () { echo "uri=nbd+unix:///?socket=$PWD/$1.sock"; }
export_layer top -B monday
export_layer middle -A
export_layer base -B monday
layers=("$(uri top)" "$(uri middle)" "$(uri base)")
sha256sum ./*.qcow2 >sums

map='nbdinfo --map --json "$uri"'
nbdkit_options=(--filter="$filter")
serve top.qcow2 checkpoint=monday -- "$map" >want
serve "${layers[@]}" checkpoint=monday -- "$map" >got
diff want got
serve "${layers[@]}" -- "$map" >got
diff want got
for view in overlay guard; do
  serve "${layers[@]}" checkpoint=monday view=$view -- '
    qemu-img convert -f raw -O qcow2 -B monday.qcow2 -F qcow2 "$uri" now.qcow2'
  qemu-img compare -f qcow2 -F qcow2 top.qcow2 now.qcow2
done
serve "${layers[@]}" checkpoint=monday view=sparse -- "$map" >got
serve top.qcow2 checkpoint=monday view=sparse -- "$map" >want
diff want got

# All parts have the first's bytes; each its own dirty blocks.
nbdkit_options=()
serve "${layers[@]}" checkpoint=monday -- '
  for part in 0 1 2; do
    nbdcopy "nbd+unix:///vda@monday/$part?socket=$unixsocket" $part.img
  done'
for part in 0 1 2; do qemu-img compare -f raw -F qcow2 $part.img top.qcow2; done
refuses_export '3 parts.*; start with: nbdkit -U ./nbd.sock --filter=bitmap-merge checkpoint '"'?uri=" \
  vda "${layers[@]}" checkpoint=monday

# A layer without the bitmap must tell what is allocated in it.
cp middle.qcow2 dumb.qcow2
export_layer dumb
refuses 'does not offer qemu:allocation-depth, .*qemu-nbd -A' \
  "$(uri top)" "$(uri dumb)" "$(uri base)" checkpoint=monday

# Several bitmaps of one server.
qemu-img create -q -f qcow2 disk.qcow2 16M
qemu-img convert -O qcow2 disk.qcow2 before.qcow2
qemu-img bitmap --add disk.qcow2 a
qemu-io -f qcow2 -c 'write -q -P 1 1M 64k' disk.qcow2
qemu-img bitmap --disable disk.qcow2 a
qemu-img bitmap --add disk.qcow2 b
qemu-io -f qcow2 -c 'write -q -P 2 2M 64k' disk.qcow2
qemu-img bitmap --add disk.qcow2 c
qemu-io -f qcow2 -c 'write -q -P 3 3M 64k' disk.qcow2
export_layer disk -B a -B b -B c
nbdkit_options=(--filter="$filter")
serve "$(uri disk)" bitmap=a bitmap=b checkpoint=sunday -- '
  nbdinfo --list --json "$uri" >list.json
  qemu-img convert -f raw -O qcow2 -B before.qcow2 -F qcow2 "$uri" now.qcow2'
qemu-img compare -f qcow2 -F qcow2 disk.qcow2 now.qcow2
allocated now.qcow2 >got
printf '%d 65536\n' $((1 << 20)) $((2 << 20)) $((3 << 20)) | diff - got
[ "$(jq -r '[.exports[]["export-name"]] | join(",")' list.json)" \
  = vda,vda@sunday,vda@ ] || fail "$(cat list.json)"
nbdkit_options=()
refuses 'not offer bitmap d' "$(uri disk)" bitmap=a bitmap=d
sha256sum -c --quiet sums || fail "an image was changed"
