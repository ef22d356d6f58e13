#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The cookbook's recipes for a guest that migrates, here to a second libvirtd with folders
# of its own, as on a host that shares the storage; and for a disk on another bus.
. "$(dirname "$0")/cookbook.sh"

# right DAY DISK SINCE FILE: the backup of the guest where it is now is an increment.
right ()
{
  to=$1 since=$3 bounded "${recipe_on[@]}" bash -c '
    nbdkit -U - checkpoint libvirt=qemu:///system domain=web1 disk='"$2"' checkpoint=$since --run "
      qemu-img convert -f raw -O qcow2 -B vda-$since.qcow2 -F qcow2 \"\$uri\" $to"'
  same_as "$tmpdir/web1.now" "$1"
}

guest_disk $images/web1.qcow2 16M
lab_start
guest_define web1 $images/web1.qcow2
guest_start web1
virsh checkpoint-create-as web1 monday
writes vda "write -P 2 1M 64k"
virsh checkpoint-create-as web1 tuesday
qemu-img convert -U -O qcow2 $images/web1.qcow2 vda-tuesday.qcow2
writes vda "write -P 3 2M 64k"
virsh checkpoint-list web1 --tree >"$tmpdir/tree"

# ── The other host ──
{ cat /etc/hosts; echo '127.0.0.2 vmhost2'; } >/run/lab/hosts
mount --bind /run/lab/hosts /etc/hosts
mkdir /run/lab/images
mount --bind $images /run/lab/images
export python
unshare --mount --propagation unchanged bash -eu -c '
  mount -t tmpfs -o mode=755 tmpfs /run/libvirt
  for folder in /etc /var/lib /var/log /var/cache; do
    cp "$folder/libvirt/"*.conf /run/libvirt 2>/dev/null || :
    mount -t tmpfs -o mode=755 tmpfs $folder/libvirt
  done
  mkdir /var/lib/libvirt/images
  mount --bind /run/lab/images /var/lib/libvirt/images
  mv /run/libvirt/*.conf /etc/libvirt
  echo "migration_host = \"vmhost2\"" >>/etc/libvirt/qemu.conf
  printf "%s\n" "listen_tls = 0" "listen_tcp = 1" "auth_tcp = \"none\"" \
    "listen_addr = \"127.0.0.2\"" "host_uuid = \"$(cat /proc/sys/kernel/random/uuid)\"" \
    >>/etc/libvirt/libvirtd.conf
  exec libvirtd --listen -p /run/libvirt/libvirtd.pid' >"$lab/other.log" 2>&1 &
other=$!
pids+=("$other")
there=qemu+tcp://vmhost2/system
answers ()
{
  kill -0 "$other" 2>/dev/null || { cat "$lab/other.log"; fail "the other libvirtd ended"; }
  virsh -c $there uri >/dev/null 2>&1
}
wait_until 30 answers

recipe migrate-keep
recipe migrate-forget
[ -z "$(checkpoint_names web1)" ] || fail "libvirt still knows checkpoints"
# It runs, as a paused guest's disks are opened only when it is resumed.  (It has no system,
# and writes nothing.)
guest_resume web1
virsh migrate --live --persistent --undefinesource --unsafe web1 $there
[ -z "$(virsh list --all --name | xargs)" ] || fail "the guest is still here"
recipe_on=(nsenter --mount --root --target "$other" --wdns="$PWD")
recipe migrate-known
virsh -c $there checkpoint-list web1 --tree | diff -u "$tmpdir/tree" -
virsh -c $there qemu-monitor-command web1 --hmp \
  'qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend "write -P 4 3M 64k"'
virsh -c $there qemu-monitor-command web1 --hmp \
  'qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend flush'
now web1
right there.qcow2 vda tuesday
increment there.qcow2 "2097152 65536 3145728 65536"

# ── On another bus ──
virsh -c $there dumpxml --inactive web1 >web1.xml
virsh -c $there qemu-monitor-command web1 '{"execute": "quit"}' >/dev/null || :
virsh -c $there destroy web1 || :
virsh -c $there undefine web1 --checkpoints-metadata
recipe_on=()
virsh define web1.xml
recipe_on=() recipe_status=
qemu-checkpoint redefine documents/*.xml --libvirt=$connect --domain=web1
sed "s|dev='vda' bus='virtio'|dev='sda' bus='scsi'|; /<address type='pci'/d" web1.xml >bus.xml
virsh define bus.xml
refuses 'disk sda was vda at checkpoint tuesday' libvirt=$connect domain=web1 checkpoint=tuesday
now web1
recipe renamed
same_as "$tmpdir/web1.now" sda-wednesday.qcow2
increment sda-wednesday.qcow2 "2097152 65536 3145728 65536"
mv sda-wednesday.qcow2 vda-wednesday.qcow2
qemu-io -f qcow2 -c 'write -q -P 6 5M 64k' $images/web1.qcow2
now web1
right sda-thursday.qcow2 sda wednesday
increment sda-thursday.qcow2 "5242880 65536"
