#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The manual's recipes do what it says, as they stand there.
. "$(dirname "$0")/functions.sh"

guest_disk disk.qcow2
qemu-img bitmap --add disk.qcow2 monday
qemu-img convert -O qcow2 disk.qcow2 monday.qcow2
qemu-io -f qcow2 -c 'write -q -P 2 1M 300k' -c 'write -q -z 3M 1M' \
  -c 'discard -q 5M 64k' disk.qcow2
qemu_dirty disk.qcow2 monday >want

# recipe NAME [PAGE]: the block after "=for test NAME", for the uninstalled
# plugin and filter.
recipe ()
{
  local text page=${2:-checkpoint-plugin}
  text=$(awk -v name="$1" '
      /^=/ { on = 0 }
      $0 == "=for test " name { on = 1; next }
      on && /^ / { print; seen = 1; next }
      seen { exit }' "$srcdir/docs/nbdkit-$page.pod" \
    | sed -E "s,(nbdkit .*)\\bcheckpoint( |\$),\\1$plugin\\2,
              s,--filter=bitmap-merge,--filter=$filter,")
  [ -n "$text" ] || fail "the manual has no recipe $1"
  echo "$text"
  local status=0
  bounded bash -eu -c "$text" || status=$?
  did_end $status "recipe $1"
  [ $status -eq 0 ] || fail "recipe $1 ended with status $status"
}

mkdir first
(cd first
 qemu-img create -q -f qcow2 disk.qcow2 8M
 qemu-io -f qcow2 -c 'write -q -P 1 1M 64k' disk.qcow2
 recipe first
 qemu-img compare -q -f qcow2 -F qcow2 disk.qcow2 monday.qcow2
 [ "$(stat -c %b monday.qcow2)" -lt 2048 ]) || fail "the first backup is wrong"

recipe convert
qemu-img compare -f qcow2 -F qcow2 disk.qcow2 tuesday.qcow2
allocated tuesday.qcow2 >got
diff -u want got || fail "convert wrote other clusters than the dirty ones"
rm tuesday.qcow2

recipe nbdcopy
qemu-img compare -f qcow2 -F qcow2 disk.qcow2 tuesday.qcow2
allocated tuesday.qcow2 >got
diff -u want got || fail "nbdcopy wrote other clusters than the dirty ones"

rm tuesday.qcow2
recipe verify
allocated tuesday.qcow2 >got
diff -u want got || fail "verify wrote other clusters than the dirty ones"

mkdir raw
(cd raw
 guest_disk system.qcow2 16M
 qemu-img bitmap --add system.qcow2 monday
 truncate -s 4M data.raw
 qemu-img convert -O qcow2 system.qcow2 vda.monday
 qemu-img convert -f raw -O qcow2 data.raw vdb.monday
 qemu-io -f qcow2 -c 'write -q -P 2 1M 64k' system.qcow2
 qemu-io -f raw -c 'write -q -P 3 2M 64k' data.raw
 recipe beside-raw
 [ "$(allocated vda.tuesday)" = "1048576 65536" ] \
   && qemu-img compare -q -f qcow2 -F qcow2 system.qcow2 vda.tuesday \
   && qemu-img compare -q -f raw -F qcow2 data.raw vdb.tuesday) || fail "beside a raw disk"

mkdir encrypted
(cd encrypted
 pass () { echo tops3cret; }
 export -f pass
 key=secret,id=key,data=tops3cret
 create_slowly -f qcow2 --object $key -o encrypt.format=luks \
   -o encrypt.key-secret=key,encrypt.iter-time=10 disk.qcow2 8M
 image=driver=qcow2,encrypt.key-secret=key,file.filename=disk.qcow2
 qemu-img bitmap --add --object $key --image-opts $image monday
 qemu-img create -q -f qcow2 monday.qcow2 8M
 qemu-io --object $key --image-opts $image -c 'write -q -P 2 1M 64k'
 recipe encrypted
 recipe encrypted-bitmap
 [ "$(allocated tuesday.qcow2)" = "1048576 65536" ] \
   && qemu-img compare -q --object $key --image-opts \
     $image driver=qcow2,file.filename=tuesday.qcow2 \
   && qemu-img info disk.qcow2 | grep 'name: wednesday') || fail "encrypted"

# With a snapshot.
qemu-img create -q -f qcow2 -b disk.qcow2 -F qcow2 top.qcow2
qemu-img bitmap --add top.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 3 6M 64k' top.qcow2
rm tuesday.qcow2
recipe merge
qemu-img compare -f qcow2 -F qcow2 top.qcow2 tuesday.qcow2
rm tuesday.qcow2
recipe convert bitmap-merge-filter
qemu-img compare -f qcow2 -F qcow2 top.qcow2 tuesday.qcow2
mkdir images
truncate -s 1M images/one images/two
recipe merge bitmap-merge-filter

PATH=$PATH:/usr/sbin:/sbin
requires nbdfuse
requires fuse2fs
requires fusermount3
[ -w /dev/fuse ] || skip "/dev/fuse is not there for this user"

mkdir content
echo "out of the disk" >content/hello.txt
truncate -s 64M disk.raw
mkfs.ext4 -q -F -d content disk.raw
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
qemu-img bitmap --add disk.qcow2 monday
before=$(md5sum disk.qcow2)
recipe mount
diff content/hello.txt hello.txt || fail "another file was copied out"
[ "$(md5sum disk.qcow2)" = "$before" ] || fail "the disk was changed"
leaves_nothing
