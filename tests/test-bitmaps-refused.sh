#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Bitmaps of stopped images are changed in all layers of all disks or in none.  What
# is in use, is not what it was, is void, or was not closed is refused, and not
# touched.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/image-kinds.sh"
. "$srcdir/tests/bitmaps.sh"
mkdir tmp
export TMPDIR=$PWD/tmp

qemu-img create -q -f qcow2 shared.qcow2 8M
for name in a b; do
  qemu-img create -q -f qcow2 -b shared.qcow2 -F qcow2 $name.qcow2
  qemu-img bitmap --add $name.qcow2 x
done
qemu-img bitmap --add a.qcow2 y

# One that cannot be done is none that is done.
bitmaps a.qcow2 b.qcow2 >before
refused 22 "Bitmap already exists: x; nothing was changed" \
  a.qcow2 b.qcow2 -- add,vda,0,z remove,vda,0,y add,vdb,0,x
refused 22 "Bitmap already exists: x; nothing was changed" \
  a.qcow2 b.qcow2 -- add,vda,0,z add,vdb,0,x
# QEMU 7.2 would die of this one.
refused 22 "'none' not found; nothing was changed" \
  a.qcow2 b.qcow2 -- add,vdb,0,z enable,vda,0,none
bitmaps a.qcow2 b.qcow2 | diff -u before -

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
bitmaps a.qcow2 b.qcow2 | diff -u before -

# Who reads for a moment is waited for.
used b.qcow2 -r
(sleep 0.3; echo quit >&$hold) &
exec {hold}>&-
changed a.qcow2 b.qcow2 -- add,vdb,0,z
changed a.qcow2 b.qcow2 -- remove,vdb,0,z
wait "${pids[-1]}"
unset "pids[-1]"

# Changed between the look and the writing.
waits ()
{
  # What the last one said is not what this one says.
  rm -f said
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
bitmaps a.qcow2 b.qcow2 | diff -u before -

# Void bitmaps stay as evidence, but for a new record on top.
qemu-img create -q -f qcow2 -b a.qcow2 -F qcow2 void.qcow2
qemu-img bitmap --add void.qcow2 sum
printf '\0' | dd of=void.qcow2 bs=1 seek=95 conv=notrunc status=none
refused 95 "void.qcow2 has bitmaps that are void" void.qcow2 -- remove,vda,0,sum
changed void.qcow2 -- add,vda,0,new
has "a.qcow2 x 65536 auto
a.qcow2 y 65536 auto
void.qcow2 new 65536 auto
" void.qcow2
printf '\0' | dd of=a.qcow2 bs=1 seek=95 conv=notrunc status=none
md5sum a.qcow2 >below
refused 95 "a.qcow2 has bitmaps that are void" void.qcow2 -- add,vda,1,new
md5sum --quiet -c below

# QEMU repairs what was not closed when it opens it for writing, but not when it
# makes it writable later: it would store bitmaps over the guest's data.
qemu-img create -q -f qcow2 -o lazy_refcounts=on unclean.qcow2 8M
qemu-io -f qcow2 unclean.qcow2 <commands >flushed &
pids+=($!)
said=0
exec {hold}>commands
# It heeds what it reads at a time only up to the first end of a line.
for word in "write -P 5 0 4M" flush length; do
  echo "$word" >&$hold
  wait_until 10 eval "[ \$(grep -o 'qemu-io>' flushed | wc -l) -gt $((++said)) ]"
done
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

# What we may not write to.
if [ "$(id -u)" -ne 0 ]; then
  chmod a-w b.qcow2
  refused 13 "b.qcow2 cannot be written to: Permission denied" b.qcow2 -- add,vda,0,z
  chmod u+w b.qcow2
fi
[ -z "$(ls tmp)" ] || fail "left over: $(ls tmp)"
