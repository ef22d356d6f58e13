#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A guest of libvirt's is no guest for qmp=: neither by libvirt's own monitor, which it
# holds, nor by a second one.  What to use is said, and nothing is changed.
. "$(dirname "$0")/libvirt-lab.sh"

guest_disk vda.qcow2
lab_start
guest_define web1 vda.qcow2
virsh dumpxml --inactive web1 | sed "s,</domain>,<q:commandline \
xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:arg value='-qmp'/>\
<q:arg value='unix:$tmpdir/second.sock\,server=on\,wait=off'/></q:commandline></domain>," >web1.xml
virsh define web1.xml
guest_start web1
virsh checkpoint-create-as web1 monday
lab_state web1 >before
if [ "$(id -u)" -eq 0 ]; then own=$(ls -d /var/lib/libvirt/qemu/domain-*/monitor.sock)
else own=$(ls -d "$lab"/config/libvirt/qemu/lib/domain-*/monitor.sock); fi

for more in checkpoint=monday on-missing=full create=tuesday; do
  refuses 'second.sock runs the guest web1 of libvirt.s, which must know of its backup jobs; for a guest of libvirt.s, use libvirt=URI domain=NAME' \
    qmp=second.sock $more
done
refuses 'monitor.sock is silent: .*another client holds it, such as libvirt.*use libvirt=URI domain=NAME' \
  qmp="$own" checkpoint=monday
lab_state web1 | diff -u before - || fail "something has changed"
serve libvirt="$connect" domain=web1 checkpoint=monday -- 'nbdinfo --size "$uri"'
