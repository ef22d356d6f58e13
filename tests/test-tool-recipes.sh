#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# README's and the manual's examples of qemu-checkpoint do what they say.
. "$(dirname "$0")/libvirt-lab.sh"

guest_disk disk.qcow2
guest_disk vda.qcow2
lab_start
guest_define web1 vda.qcow2
guest_start web1
documents=/var/lib/libvirt/qemu/checkpoint
[ "$connect" = qemu:///system ] \
  || documents=$XDG_CONFIG_HOME/libvirt/qemu/checkpoint

pod=docs/qemu-checkpoint.pod

# examples FIRST LAST FILE: the indented lines between the lines that match, for this
# daemon.  (What is printed is fenced in README.)
examples ()
{
  awk -v first="$1" -v last="$2" '
    $0 ~ last { on = 0 }  $0 ~ first { on = 1; next }
    /^```/ { fenced = !fenced }  on && !fenced && /^ / { print }' \
    "$srcdir/$3" >"$tmpdir/typed"
  sed -i "s,qemu:///system,$connect,; s,/var/lib/libvirt/qemu/checkpoint,$documents," \
    "$tmpdir/typed"
  [ -s "$tmpdir/typed" ] || fail "$3 has no example $1"
  cat "$tmpdir/typed"
}
# example NAME: the one after "=for test NAME".
example ()
{
  examples "^=for test $1\$" '^[^ ]' $pod
  type_it "set -eu; $(cat "$tmpdir/typed")" || fail "example $1 ended with status $?"
}

# ── README's, one after the other ──
qemu-img convert -O qcow2 disk.qcow2 tuesday.qcow2
examples '^## qemu-checkpoint' '^## Build' README.md
[ "$(wc -l <"$tmpdir/typed")" -eq 9 ] || fail "README has other examples: $(cat "$tmpdir/typed")"
type_it "set -eu; $(cat "$tmpdir/typed")" >printed || fail "README's: status $?"
cat printed
[ "$(grep -c '^Domain checkpoint monday created' printed)" -eq 2 ] || fail "not made"
grep -q '^monday .* 0 B$' printed || fail "no size"
grep -q '^CHECKPOINTS OK - 1 checkpoint on 1 disk' printed || fail "not checked"
[ "$(virsh checkpoint-list web1 --name | xargs)" = monday ] || fail "not libvirt's"

# ── The manual's synopsis ──
examples '^=head1 SYNOPSIS' '^=head1 DESC' $pod
while read -r line; do
  case $line in *--qmp=*)
    qemu-system-x86_64 -accel tcg -nodefaults -display none -m 64 -S \
      -drive file=disk.qcow2,format=qcow2,if=virtio,id=vda \
      -qmp unix:qmp.sock,server=on,wait=off &
    pids+=("$!")
    wait_until 20 listens qmp.sock ;;
  esac
  type_it "$line" || fail "the synopsis: status $? of: $line"
done <"$tmpdir/typed"
[ "$("$tool" list --name --tree=checkpoints)" = tuesday ] || fail "the synopsis"
kill "${pids[-1]}"
wait_until 20 has_ended "${pids[-1]}"

# ── Its examples ──
rm -rf checkpoints disk.qcow2 tuesday.qcow2
guest_disk disk.qcow2
example first
qemu-io -f qcow2 -c 'write -q -P 2 1M 64k' disk.qcow2
example next
qemu-img compare -q disk.qcow2 tuesday.qcow2
[ "$(allocated tuesday.qcow2)" = "1048576 65536" ] || fail "not an increment"
[ "$("$tool" list --name --tree=checkpoints | xargs)" = "monday tuesday" ] \
  || fail "other checkpoints"
rm tuesday.qcow2
example view >printed
grep -Eq '^monday +vda +64\.0 KiB +64\.0 KiB +0 B +1 +~' printed || fail "$(cat printed)"
example report
[ "$(cat to-be-read)" = "1048576 65536" ] || fail "to be read: $(cat to-be-read)"
grep -q 'vda since monday' changed.svg
example files
if [ -z "$sanitizers" ]; then
  example extents
  qemu-img compare -q disk.qcow2 tuesday.qcow2
  [ "$(allocated tuesday.qcow2)" = "1048576 65536" ] || fail "not an increment"
fi

virsh checkpoint-create-as web1 tuesday
mkdir kept && cd kept
virsh checkpoint-list web1 --tree >../before
example keep
[ "$(echo ./*)" = "./monday.xml ./tuesday.xml" ] || fail "kept: $(echo ./*)"
virsh checkpoint-delete web1 tuesday --metadata
virsh checkpoint-delete web1 monday --metadata
example known
virsh checkpoint-list web1 --tree | diff -u ../before -
cd ..

virsh checkpoint-delete web1 tuesday
rm -f monday.qcow2 tuesday.qcow2
qemu-img convert -U -O qcow2 vda.qcow2 monday.qcow2
guest_write web1 vda "write -P 4 2M 64k"
example room >printed
grep -qx 'web1 65536' printed || fail "room for: $(cat printed)"
example verify >printed || fail "the backup is not right: $(cat printed)"
cat printed
grep -q '^tuesday.qcow2 equals disk vda: 64.0 KiB that changed since monday, and ' printed
guest_write web1 vda "write -P 5 3M 64k"
example sample >printed || fail "the sample differs: $(cat printed)"
cat printed
grep -q '^  not compared: 64.0 KiB that changed after tuesday$' printed

examples '^=for test monitor$' '^=head1' $pod
typed=$(sed -n 's/^ *command_line sudo //p' "$tmpdir/typed")
[ -n "$typed" ] || fail "nothing for monitoring"
type_it "${typed/\$ARG1$/web1}" >printed || fail "status $?: $(cat printed)"
grep -q '^CHECKPOINTS OK - 2 checkpoints' printed
status=0
type_it "${typed/\$ARG1$/web2}" >printed || status=$?
[ $status -eq 3 ] && grep -q '^CHECKPOINTS UNKNOWN - ' printed \
  || fail "status $status: $(cat printed)"
