# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Sourced after libvirt-lab.sh by tests of documents, which virsh and
# qemu-checkpoint get, with the command $rules_of: see xml-rules.py.

guest_disk vda.qcow2
guest_disk vdb.qcow2
lab_start
guest_define web1 vda.qcow2 vdb.qcow2
guest_start web1
virsh checkpoint-create-as web1 a
virsh checkpoint-create-as web1 b

# A copy of its images as they would be, were it off; and of its documents.
guest_destroy web1
for disk in vda vdb; do cp $disk.qcow2 copy-$disk.qcow2; done
mkdir tree
for name in a b; do
  virsh checkpoint-dumpxml web1 $name >$name.xml
  sed -i "s,$PWD/vd,$PWD/copy-vd," $name.xml
  cp $name.xml tree/
  virsh checkpoint-dumpxml web1 $name >$name.xml
done
guest_start web1
documents=/var/lib/libvirt/qemu/checkpoint/web1
[ "$connect" = qemu:///system ] \
  || documents=$XDG_CONFIG_HOME/libvirt/qemu/checkpoint/web1
timeout 200 "$python" "$srcdir/tests/xml-rules.py" "$tool" "$connect" web1 \
  "$(virsh domuuid web1 | tr -d '\n')" \
  "$documents" "$PWD/tree" "$rules_of" >log \
  || { grep -E 'DIFFERENT|Error' log; tail -n 5 log; fail "other rules"; }
