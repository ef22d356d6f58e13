#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# With a system daemon, QEMU runs as a user of its own.  Folders that this user
# cannot reach are refused by name before the job is begun, and what is then
# printed helps; those that it can are used.
LAB_ROOT_ONLY=1
. "$(dirname "$0")/libvirt-lab.sh"
requires setfacl

chmod 755 "$tmpdir"
guest_disk vda.qcow2
lab_start libvirt-qemu
guest_define web1 vda.qcow2
guest_start web1
virsh checkpoint-create-as web1 monday
lab_state web1 >before
mkdir open shut shut/in
chmod 755 open shut/in
chmod 700 shut

for dir in socket scratch; do
  refuses "QEMU runs as user libvirt-qemu \\(uid 64055\\), which cannot enter $tmpdir/shut.*; $dir-dir=" \
    libvirt="$connect" domain=web1 checkpoint=monday $dir-dir=shut/in
done
lab_state web1 | diff -u before - || fail "a refusal left something"

# What is printed is typed: where others, a group or an ACL decide.
type_enter ()
{
  local dir
  for dir in socket scratch; do
    cp -a "$1" "$1.new"
    refuses "cannot enter $tmpdir/$1.new .needed for .*; type \"$2 .*new'?\", or choose .*; $dir-dir=" \
      libvirt="$connect" domain=web1 checkpoint=monday $dir-dir="$1.new/in"
    type_printed '; type "' '", or choose'
    serve libvirt="$connect" domain=web1 checkpoint=monday \
      $dir-dir="$1.new/in" -- 'nbdinfo --size "$uri"'
    rm -r "$1.new"
  done
}
mkdir -p of-group/in has-acl/in "it's a/in"
chmod 755 */in
chgrp "$(id -gn libvirt-qemu)" of-group
chmod 700 of-group has-acl "it's a"
setfacl -m u:nobody:x has-acl
type_enter shut 'chmod o\+x'
type_enter of-group 'chmod g\+x'
type_enter has-acl 'setfacl -m u:libvirt-qemu:x'
type_enter "it's a" 'chmod o\+x'
rm -r shut of-group has-acl "it's a"
lab_state web1 | diff -u before - || fail "something is left"

serve libvirt="$connect" domain=web1 checkpoint=monday socket-dir=open \
  scratch-dir=open -- '
  nbdinfo --size "$uri"
  find open -printf "%P %u %m\n" | sort' | tee found
grep -Eq '^nbdkit-checkpoint-[0-9a-f]{16} libvirt-qemu 700$' found \
  || fail "the socket's folder is not QEMU's alone"
grep -Eq '\.vda\.scratch libvirt-qemu 600$' found || fail "no scratch file there"
[ -z "$(ls -A open)" ] || fail "left in the folders: $(ls -A open)"
lab_state web1 | diff -u before - || fail "something is left"

# Without being told, /run and the folder of the image do.
chmod 711 .
serve libvirt="$connect" domain=web1 checkpoint=monday -- 'nbdinfo --size "$uri"'
lab_state web1 | diff -u before - || fail "something is left"

# An ordinary user shares a group with QEMU, and a folder that hands it down: that
# is what is said where there is none.
cp /etc/passwd passwd
cp /etc/group group
echo 'alice:x:15000:15000::/nonexistent:/usr/sbin/nologin' >>passwd
echo 'alice:x:15000:' >>group
echo 'shared:x:15001:alice,libvirt-qemu' >>group
mount --bind passwd /etc/passwd
mount --bind group /etc/group
guest_destroy web1
lab_restart                     # it must know of the group
guest_start web1
mkdir shared
chgrp shared shared
chmod 2770 shared
# The build may be where only root can read.
cp "$plugin" plugin.so
chmod 755 plugin.so
alice ()
{
  bounded setpriv --reuid alice --regid alice --init-groups \
    nbdkit -U - "$tmpdir/plugin.so" libvirt="$connect" domain=web1 \
    checkpoint=monday "$@" --run 'nbdinfo --size "$uri"'
}
alice socket-dir="$tmpdir/shared"
[ -z "$(ls -A shared)" ] || fail "left in the shared folder"
! alice socket-dir=/tmp 2>log || fail "it is served without a shared group"
cat log
grep -q 'QEMU.s socket: QEMU runs as user libvirt-qemu' log \
  || fail "it does not say who cannot reach what"
grep -q 'made anew for each backup; .* one whose group both users have, and that hands it down (chmod g+s)$' log \
  || fail "it does not say what helps"
lab_state web1 | grep -v shared | diff -u <(grep -v shared before) - \
  || fail "something is left"
