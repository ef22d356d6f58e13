#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A file= that is missing, unreadable, no qcow2 of version 3 or in use is
# refused at start-up, in one line with the remedy.
. "$(dirname "$0")/functions.sh"

mkdir tmp
export TMPDIR=$PWD/tmp

refuses "$PWD/none.qcow2.*No such file or directory; ." none.qcow2
refuses "$PWD/none.qcow2.*No such file or directory; ." file=vda:none.qcow2

mkdir folder
mkfifo fifo
refuses "$PWD/folder is .*directory.*; ." folder
refuses "$PWD/fifo is neither a file nor a block device; ." fifo

echo 'not an image' >text
: >empty
truncate -s 1M raw
for file in text empty raw; do
  refuses "$PWD/$file is not a qcow2 image.*; name .*, or use uri=" $file
done
# Cut after its header.
guest_disk disk.qcow2
qemu-img bitmap --add disk.qcow2 monday
head -c 600 disk.qcow2 >cut.qcow2
refuses "QEMU cannot read $PWD/cut.qcow2: .*; is the image whole\?  Try: " cut.qcow2
# not_whole REGEX: what is printed finds out that it is not.
not_whole ()
{
  ! type_printed 'Try: ' >typed 2>&1 || fail "it says that the image is whole"
  grep -Eq "$1" typed || fail "it does not say what is wrong: $(cat typed)"
}
not_whole "qemu-img: Could not open '.*cut.qcow2'"
# Within its header; and a table is where none can be.
head -c 90 disk.qcow2 >"a header.qcow2"
refuses "cannot read $PWD/a header.qcow2: .*; is the image whole\?  Try: " \
  "a header.qcow2"
not_whole "qemu-img: Could not open '.*a header.qcow2'"
cp disk.qcow2 table.qcow2
printf '\3' | dd of=table.qcow2 bs=1 seek=47 conv=notrunc status=none
refuses "QEMU cannot read $PWD/table.qcow2: .*L1 table" table.qcow2
not_whole "L1 table"

qemu-img create -q -f qcow2 -o compat=0.10 old.qcow2 1M
refuses "$PWD/old.qcow2 is qcow2 version 2, .*qemu-img amend " old.qcow2
# The remedy works.
type_printed ', type: '
qemu-img bitmap --add old.qcow2 monday
serve old.qcow2 -- 'nbdinfo --size "$uri"'

# An external data file whose name means another with each program: QEMU looks
# for it where it runs.
qemu-img create -q -f qcow2 -o data_file=data.raw external.qcow2 1M
qemu-img bitmap --add external.qcow2 monday
refuses "$PWD/external.qcow2 keeps its data in .*data.raw.* absolute path; " \
  external.qcow2
# The remedy works, wherever it is typed: QEMU must not look for that name.
printed ', type: '
mkdir elsewhere
typed=${printed//PATH/$PWD/data.raw}
(cd elsewhere && type_it "$typed")
serve external.qcow2 -- 'nbdinfo --size "$uri"'

# Marked corrupt, and encrypted.
qemu-img create -q -f qcow2 corrupt.qcow2 1M
qemu-img bitmap --add corrupt.qcow2 monday
printf '\2' | dd of=corrupt.qcow2 bs=1 seek=79 conv=notrunc status=none
refuses "$PWD/corrupt.qcow2 is marked corrupt.*qemu-img check -r all " \
  corrupt.qcow2
type_printed ', type: '
qemu-img bitmap --add corrupt.qcow2 tuesday
serve corrupt.qcow2 checkpoint=tuesday -- 'nbdinfo --size "$uri"'
cp disk.qcow2 encrypted.qcow2
printf '\2' | dd of=encrypted.qcow2 bs=1 seek=35 conv=notrunc status=none
refuses "$PWD/encrypted.qcow2 is encrypted.*; .*: secret=vda:FILE" \
  encrypted.qcow2
# No method of QEMU's.
printf '\3' | dd of=encrypted.qcow2 bs=1 seek=35 conv=notrunc status=none
refuses "$PWD/encrypted.qcow2: how it is encrypted" encrypted.qcow2

# QEMU opens it; its bitmaps were switched off by a program that does not know
# them.  What QEMU says of it is said once, by us.
cp disk.qcow2 unknown.qcow2
printf '\0' | dd of=unknown.qcow2 bs=1 seek=95 conv=notrunc status=none
status=0
nbdkit -U - "$plugin" unknown.qcow2 --run : 2>warning.log || status=$?
cat warning.log
grep -q "error: .*all bitmaps of $PWD/unknown.qcow2 are void" warning.log \
  || fail "what is wrong with the bitmaps is not told"
[ $status -eq 1 ] || fail "an image without valid bitmaps was accepted"

# In use, as by a guest.
mkfifo commands
qemu-io -f qcow2 disk.qcow2 <commands >/dev/null &
pids+=($!)
exec 7>commands
# Looking by qemu-img takes a lock as well, and would be in qemu-io's way.
wait_until 10 is_written disk.qcow2
refuses "$PWD/disk.qcow2 is in use.*; use libvirt=, qmp= or uri=" disk.qcow2
exec 7>&-
wait "${pids[0]}"
serve disk.qcow2 -- 'nbdinfo --size "$uri"'

# Unreadable, also for root, who is made to obey file modes.
if [ "$(id -u)" -eq 0 ]; then
  requires setpriv
  as_user=(setpriv --bounding-set -dac_override,-dac_read_search)
fi
chmod 0 disk.qcow2
refuses "$PWD/disk.qcow2.*Permission denied; ." disk.qcow2

[ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
