#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# take-over=yes believes no names: who may begin a job could give it one that
# looks like ours.  A job is ended only if its folder is no link, lies where
# ours do, and is of a user who can have it from us.
. "$(dirname "$0")/libvirt-lab.sh"

lab_with_guest
job () { virsh backup-dumpxml web1; }

# pretend FOLDER [SCRATCH]: a job with these names.
pretend ()
{
  cat >backup.xml <<EOT
<domainbackup mode='pull'><server transport='unix' socket='$1/nbd'/><disks>
  <disk name='vda' backup='yes' type='file'>
    <scratch file='$tmpdir/${2:-$(basename "$1").vda.scratch}'/></disk>
</disks></domainbackup>
EOT
  virsh backup-begin web1 backup.xml
  job >left
}

# untouched REGEX FOLDER: neither the job nor the folder is.
untouched ()
{
  local more
  for more in take-over=no take-over=yes; do
    refuses "$1" libvirt="$connect" domain=web1 checkpoint=monday $more
    ! grep 'rm -r' refused.log || fail "it advises to remove another's folder"
    job | diff -u left - || fail "another's job was touched"
    [ -S "$2/nbd" ] || fail "another's socket was removed"
  done
  virsh domjobabort web1
  wait_until 10 no_job web1
  rm -f ./*.scratch
}
mark=nbdkit-checkpoint-0123456789abcdef
unknown='a backup job of one of our servers that cannot be looked at from here'

mkdir elsewhere
ln -s "$tmpdir/elsewhere" "$lab_sockets/$mark"
pretend "$lab_sockets/$mark"
untouched "$unknown" elsewhere
rm -r "$lab_sockets/$mark" elsewhere

mkdir -p place/$mark
pretend "$tmpdir/place/$mark"
untouched "$unknown" place/$mark

# A folder of that name is there, but is not the job's.
mkdir "$lab_sockets/$mark"
pretend "$tmpdir/place/$mark"
untouched "$unknown .*another folder" place/$mark
rm -r "$lab_sockets/$mark"

if [ "$(id -u)" -eq 0 ]; then
  mkdir -m 777 "$lab_sockets/$mark"
  chown nobody "$lab_sockets/$mark"
  pretend "$lab_sockets/$mark"
  untouched "$unknown .*another user's" "$lab_sockets/$mark"
  rm -r "$lab_sockets/$mark"
fi

# Not just any name that begins like ours.
for name in nbdkit-checkpoint-0123456789abcde nbdkit-checkpoint-x \
  nbdkit-checkpoint-0123456789abcdef0 nbdkit-checkpoint-0123456789ABCDEF; do
  mkdir "$lab_sockets/$name"
  pretend "$lab_sockets/$name"
  untouched 'a backup job of another program' "$lab_sockets/$name"
  rm -r "$lab_sockets/$name"
done
mkdir "$lab_sockets/$mark"
pretend "$lab_sockets/$mark" "$mark.vdb.scratch"
untouched 'a backup job of another program' "$lab_sockets/$mark"
rm -r "$lab_sockets/$mark"

# Who names the place believes in it.
rm -f place/$mark/nbd
pretend "$tmpdir/place/$mark"
serve libvirt="$connect" domain=web1 checkpoint=monday take-over=yes \
  socket-dir="$tmpdir/place" -- 'nbdinfo --size "$uri"'
[ -z "$(ls -A place)" ] || fail "left: $(ls -A place)"
