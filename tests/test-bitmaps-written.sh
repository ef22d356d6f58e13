#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Bitmaps of stopped images are changed in all layers of all disks, be they files or
# block devices, encrypted, with data files, shared, inconsistent, or called by names
# that QEMU cannot be told.  No bit of another is lost.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/image-kinds.sh"
. "$srcdir/tests/bitmaps.sh"
mkdir tmp
export TMPDIR=$PWD/tmp

# A chain of three, its bits merged over layers.
guest_layers
bitmap_bits () { bitmap_ranges "$2" "$1"; }
bitmap_bits top.qcow2 monday >monday
changed top.qcow2 -- add,vda,0,tuesday
has "base.qcow2 monday 65536 auto
top.qcow2 monday 65536 auto
top.qcow2 tuesday 65536 auto
" top.qcow2
bitmap_bits top.qcow2 monday | diff -u monday -
changed top.qcow2 -- off,vda,0,sum merge,vda,0,sum,monday \
  enable,vda,0,sum off,vda,1,copy remove,vda,2,monday remove,vda,0,tuesday
has "middle.qcow2 copy 65536 
top.qcow2 monday 65536 auto
top.qcow2 sum 65536 auto
" top.qcow2
bitmap_bits top.qcow2 sum | diff -u monday -
changed top.qcow2 -- add,vda,2,old
changed top.qcow2 -- merge,vda,1,copy,monday,0 remove,vda,2,old
bitmap_bits middle.qcow2 copy | diff -u monday -

# Several disks, two of which share a layer, and the same bitmap there twice.
qemu-img create -q -f qcow2 shared.qcow2 8M
for name in a b; do
  qemu-img create -q -f qcow2 -b shared.qcow2 -F qcow2 $name.qcow2
done
changed a.qcow2 b.qcow2 -- add,vda,0,x add,vdb,0,x add,vda,1,x
changed a.qcow2 b.qcow2 -- add,vda,0,y remove,vda,1,x remove,vdb,1,x
has "a.qcow2 x 65536 auto
a.qcow2 y 65536 auto
b.qcow2 x 65536 auto
" a.qcow2 b.qcow2

# An inconsistent one goes, and takes none with it.
qemu-img create -q -f qcow2 crash.qcow2 8M
changed crash.qcow2 -- add,vda,0,lost
# While it marks them as in use, they are void; its socket is made after.
qemu-storage-daemon --blockdev \
  driver=qcow2,node-name=n,file.driver=file,file.filename=crash.qcow2 \
  --nbd-server addr.type=unix,addr.path=crash.sock &
pids+=($!)
wait_until 10 listens crash.sock
kill -9 $!
wait $! || :
changed crash.qcow2 -- add,vda,0,good
has "crash.qcow2 good 65536 auto
crash.qcow2 lost 65536 auto in-use
" crash.qcow2
changed crash.qcow2 -- remove,vda,0,lost
has "crash.qcow2 good 65536 auto
" crash.qcow2
# Snapshots inside are of no matter.
qemu-img snapshot -c inside crash.qcow2
changed crash.qcow2 -- add,vda,0,more remove,vda,0,good
qemu-img snapshot -l crash.qcow2 | grep -q inside
qemu-img check -q crash.qcow2

# Data files, block devices.
for kind in "${file_kinds[@]}"; do
  place "$kind" data-$kind 16M
  qemu-img create -q -f qcow2 -o "data_file=$place,data_file_raw=on" \
    data.qcow2 16M
  changed data.qcow2 -- add,vda,0,m
  qemu-io -f qcow2 -c 'write -q 1M 64k' data.qcow2
  changed data.qcow2 -- add,vda,0,n
  has "data.qcow2 m 65536 auto
data.qcow2 n 65536 auto
" data.qcow2
  place "$kind" image-$kind 16M
  qemu-img create -q -f qcow2 "$place" 16M
  changed "vda:$place" -- add,vda,0,m
  changed "vda:$place" -- add,vda,0,n remove,vda,0,m
  [ "$(bitmaps "$place")" = "$(basename "$place") n 65536 auto" ] \
    || fail "$place: $(bitmaps "$place")"
done

# Encrypted, and with a name that is not UTF-8.
printf secret >key
create_slowly --object secret,id=s,file=key -f qcow2 \
  -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 luks.qcow2 8M
refused 13 "encrypted" luks.qcow2 -- add,vda,0,m
CHANGE_BITMAPS_SECRET=key changed luks.qcow2 -- add,vda,0,m
CHANGE_BITMAPS_SECRET=key changed luks.qcow2 -- add,vda,0,n remove,vda,0,m
has "luks.qcow2 n 65536 auto
" luks.qcow2
latin=$(printf 'c\364t\351.qcow2')
qemu-img create -q -f qcow2 -b shared.qcow2 -F qcow2 "$latin"
changed "vda:$latin" -- add,vda,0,m
ln -s "$latin" link.qcow2
has "link.qcow2 m 65536 auto
" link.qcow2

[ -z "$(ls tmp)" ] || fail "left over: $(ls tmp)"
