#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# QEMU stores all bitmaps of an image anew, and if the file system is full, they are
# void.  So it is not let write without room; and if that is gone all the same, it
# keeps them in memory until there is some.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/image-kinds.sh"
. "$srcdir/tests/bitmaps.sh"
if [ -z "${in_small:-}" ]; then
  # Who is not root has mounts only where he seems to be; in a chroot there is
  # nothing to be made private.
  own=(unshare --mount --propagation unchanged)
  [ "$(id -u)" -eq 0 ] || own=(unshare --map-root-user --mount)
  "${own[@]}" true 2>/dev/null || skip "no file system of its own"
  in_small=yes bounded "${own[@]}" "$srcdir/tests/$test_name.sh"
  exit
fi
# The file system of this test ends with it, but the folder is removed before.
unmount ()
{
  local status=$?
  umount -l "$tmpdir/small" 2>/dev/null || :
  (exit $status)
  release_loops
}
trap unmount EXIT
mkdir small tmp
export TMPDIR=$PWD/tmp
mount --make-rprivate / 2>/dev/null || :
mount -t tmpfs -o size=12000k none small || skip "tmpfs cannot be mounted"

make_image ()
{
  local name at
  rm -f small/fill
  qemu-img create -q -f qcow2 small/a.qcow2 16G
  for name in b1 b2 b3; do
    qemu-img bitmap --add -g 512 small/a.qcow2 $name
  done
  for at in 0 1 2 3 4 5 6 7 8 9; do echo "write -q -z ${at}G 512"; done \
    | qemu-io -f qcow2 small/a.qcow2 >/dev/null
}
fill_up () { dd if=/dev/zero of=small/fill bs=4k status=none 2>/dev/null || :; }

make_image
qemu-img create -q -f qcow2 b.qcow2 16G
bitmaps small/a.qcow2 b.qcow2 >before
bitmap_ranges b1 small/a.qcow2 >b1

fill_up
for left in 0 100 1000; do
  truncate -s -${left}k small/fill
  refused 28 "file system of .*a.qcow2 has .*nothing was changed" \
    small/a.qcow2 b.qcow2 -- add,vda,0,new add,vdb,0,new
  bitmaps small/a.qcow2 b.qcow2 | diff -u before -
done

# The room that was there is gone when it is needed.
for what in "add,vda,0,new add,vdb,0,new" "remove,vda,0,b3 remove,vdb,0,b3"; do
  rm -f small/fill
  [ "$what" = "${what#remove}" ] || changed b.qcow2 -- add,vda,0,b3
  fill_up
  # shellcheck disable=SC2086
  CHANGE_BITMAPS_ROOM=1 "$change" b.qcow2 small/a.qcow2 -- $what 2>log &
  pid=$!
  wait_until 10 grep -q "no space left for its bitmaps.*make room" log
  sleep 0.6
  rm small/fill
  status=0
  wait $pid || status=$?
  cat log
  if [ "$what" = "${what#remove}" ]; then
    [ $status -eq 1 ] || fail "done: $what"
    grep -q "error 28: .*No space left.*nothing was changed" log || fail "why?"
    bitmaps small/a.qcow2 b.qcow2 | diff -u before -
  else
    [ $status -eq 0 ] || fail "not done: $what"
    sed '/ b3 /d' before | diff -u - <(bitmaps small/a.qcow2 b.qcow2 | sed '/^$/d')
  fi
  leaves_nothing
  bitmap_ranges b1 small/a.qcow2 | diff -u b1 -
done
qemu-img check -q small/a.qcow2

# What it says is enough is enough.
make_image
bitmap_ranges b3 small/a.qcow2 >b3
fill_up
refused 28 "can take" small/a.qcow2 -- add,vda,0,new
needed=$(sed 's/.* can take \([0-9]*\);.*/\1/' log)
truncate -s -$(((needed + 4095) / 4096 * 4))k small/fill
changed small/a.qcow2 -- add,vda,0,new
bitmap_ranges b3 small/a.qcow2 | diff -u b3 -
rm small/fill
(ulimit -f $(($(stat -c %s small/a.qcow2) / 1024 + 100))
 refused 27 "ulimit -f unlimited; nothing" small/a.qcow2 -- remove,vda,0,new)
