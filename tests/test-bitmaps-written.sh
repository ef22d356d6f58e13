#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Bitmaps of stopped images are changed in all layers of all disks or in none, be
# they files or block devices, encrypted, with data files, shared, or called by names
# that QEMU cannot be told.  No bit of another is lost.  What is in use, is not what
# it was, is void, or cannot be locked is refused, and not touched.
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

# One that cannot be done is none that is done.
bitmaps a.qcow2 b.qcow2 top.qcow2 >before
refused 22 "Bitmap already exists: x; nothing was changed" \
  a.qcow2 b.qcow2 -- add,vda,0,z remove,vda,0,y add,vdb,0,x
bitmaps a.qcow2 b.qcow2 top.qcow2 | diff -u before -
mkdir sums
sums () { md5sum a.qcow2 b.qcow2 shared.qcow2 | sort; }
sums >sums/before

# Others use it, for writing, for reading, or a layer below.
mkfifo commands
used ()
{
  local image=$1
  shift
  qemu-io -f qcow2 "$@" "$image" <commands >/dev/null &
  pids+=($!)
  exec {hold}>commands
  wait_until 10 locked "$image"
}
# Who reads takes byte 100, and byte 201 against writers.
locked () { grep -qE ":$(stat -c %i "$1") (100|201) " /proc/locks; }
freed () { exec {hold}>&-; wait "${pids[-1]}"; unset "pids[-1]"; }
for how in -n -r; do
  used b.qcow2 $how
  refused 16 "b.qcow2 is in use" a.qcow2 b.qcow2 -- add,vda,0,z add,vdb,0,z
  # What is not written to does not matter, unless it cannot be read.
  if [ $how = -r ]; then
    changed a.qcow2 b.qcow2 -- add,vda,0,z
    changed a.qcow2 b.qcow2 -- remove,vda,0,z
    refused 16 "shared.qcow2 is in use" a.qcow2 -- add,vda,1,z
  fi
  freed
done
bitmaps a.qcow2 b.qcow2 top.qcow2 | diff -u before -

# Changed between the look and the writing.
waits ()
{
  CHANGE_BITMAPS_WAIT=1 "$change" a.qcow2 b.qcow2 -- add,vda,0,z add,vdb,0,z \
    <commands >said 2>log &
  waiting=$!
  exec {hold}>commands
  wait_until 10 grep -q looked said
}
goes_on () { echo >&$hold; exec {hold}>&-; ! wait $waiting || fail "done"; cat log; }
waits
mv b.qcow2 kept.qcow2
cp kept.qcow2 b.qcow2
goes_on
grep -q "error 11: disk vdb: .*b.qcow2 changed .*nothing was changed" log \
  || fail "no word of another file"
mv kept.qcow2 b.qcow2
waits
touch b.qcow2
goes_on
grep -q "error 11: disk vdb: .*b.qcow2 changed .*nothing was changed" log \
  || fail "no word of a change"
bitmaps a.qcow2 b.qcow2 top.qcow2 | diff -u before -

# Void bitmaps stay as evidence, but for a new record on top.
cp top.qcow2 void.qcow2
printf '\0' | dd of=void.qcow2 bs=1 seek=95 conv=notrunc status=none
refused 95 "void.qcow2 has bitmaps that are void" void.qcow2 -- remove,vda,0,sum
changed void.qcow2 -- add,vda,0,new
has "middle.qcow2 copy 65536 
void.qcow2 new 65536 auto
" void.qcow2
printf '\0' | dd of=middle.qcow2 bs=1 seek=95 conv=notrunc status=none
md5sum middle.qcow2 >middle
refused 95 "middle.qcow2 has bitmaps that are void" top.qcow2 -- add,vda,1,new
md5sum --quiet -c middle

# An inconsistent one goes, and takes none with it.
qemu-img create -q -f qcow2 crash.qcow2 8M
changed crash.qcow2 -- add,vda,0,lost
# While it marks them as in use, they are void; its socket is made after.
qemu-storage-daemon --blockdev \
  driver=qcow2,node-name=n,file.driver=file,file.filename=crash.qcow2 \
  --nbd-server addr.type=unix,addr.path=crash.sock &
pids+=($!)
wait_until 10 [ -S crash.sock ]
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

# QEMU repairs what was not closed when it opens it for writing, but not when it
# makes it writable later: it would store bitmaps over the guest's data.
qemu-img create -q -f qcow2 -o lazy_refcounts=on unclean.qcow2 8M
qemu-io -f qcow2 unclean.qcow2 <commands >flushed &
pids+=($!)
exec {hold}>commands
printf 'write -P 5 0 4M\nflush\nlength\n' >&$hold
wait_until 10 grep -q '8 MiB' flushed
kill -9 $!
wait $! || :
exec {hold}>&-
qemu-img info unclean.qcow2 | grep -q 'cleanly shut down: no' \
  || fail "it was closed"
md5sum unclean.qcow2 >unclean
refused 22 "type: qemu-img check -f qcow2 -r all" unclean.qcow2 -- add,vda,0,m
md5sum --quiet -c unclean
qemu-img check -q -f qcow2 -r all unclean.qcow2 || :
changed unclean.qcow2 -- add,vda,0,m
qemu-img check -q unclean.qcow2
qemu-io -f qcow2 -c 'read -q -P 5 0 4M' unclean.qcow2
# A feature of the future.
printf '\201' | dd of=unclean.qcow2 bs=1 seek=95 conv=notrunc status=none
md5sum unclean.qcow2 >unclean
refused 95 "feature that is unknown" unclean.qcow2 -- add,vda,0,n
md5sum --quiet -c unclean

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

# What we may not write to.
if [ "$(id -u)" -ne 0 ]; then
  chmod a-w a.qcow2
  refused 13 "a.qcow2 cannot be written to: Permission denied" a.qcow2 -- add,vda,0,z
  chmod u+w a.qcow2
fi
[ -z "$(ls tmp)" ] || fail "left over: $(ls tmp)"
