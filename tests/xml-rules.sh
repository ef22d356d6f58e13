# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Sourced after libvirt-lab.sh by tests of documents, which virsh and
# qemu-checkpoint get, with the command $rules_of: see xml-rules.py.

lab_start
documents=/var/lib/libvirt/qemu/checkpoint
[ "$connect" = qemu:///system ] \
  || documents=$XDG_CONFIG_HOME/libvirt/qemu/checkpoint
for guest in web1 web2; do
  for disk in vda vdb; do guest_disk $guest-$disk.qcow2 8M; done
  guest_define $guest $guest-vda.qcow2 $guest-vdb.qcow2
  guest_start $guest
  for name in a b; do
    virsh checkpoint-create-as $guest $name
    virsh checkpoint-dumpxml $guest $name >$guest-$name.xml
  done
done

# A copy of web1's images as they would be, were it off; and of its documents.
guest_destroy web1
mkdir tree
for disk in vda vdb; do cp web1-$disk.qcow2 copy-$disk.qcow2; done
for name in a b; do
  sed "s,$PWD/web1-vd,$PWD/copy-vd," web1-$name.xml >copy-$name.xml
  cp copy-$name.xml tree/$name.xml
done
guest_start web1
timeout 200 "$python" "$srcdir/tests/xml-rules.py" "$tool" "$connect" \
  "$documents" "$PWD/tree" "$rules_of" >log \
  || { grep -E 'DIFFERENT|Error' log; tail -n 5 log; fail "other rules"; }
