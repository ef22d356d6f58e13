#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A guest with a disk whose data file is elsewhere, one encrypted with LUKS, and
# one above a LUKS base: running, libvirt knows the secrets; stopped, they are
# given with secret=.
. "$(dirname "$0")/libvirt-lab.sh"
. "$srcdir/tests/image-kinds.sh"

printf 'pass-of-vdb' >key-vdb
printf 'pass-of-vdc' >key-vdc
qemu_secrets=(--object secret,id=vdb,file=key-vdb
              --object secret,id=vdc,file=key-vdc)
place "${file_kinds[-1]}" vda.data 16M
qemu-img create -q -f qcow2 -o "data_file=$place,data_file_raw=off" vda.qcow2 16M
create_slowly "${qemu_secrets[@]}" -f qcow2 \
  -o encrypt.format=luks,encrypt.key-secret=vdb,encrypt.iter-time=10 \
  vdb.qcow2 16M
create_slowly "${qemu_secrets[@]}" -f luks -o key-secret=vdc,iter-time=10 \
  base.luks 16M
qemu-img create -q -u -f qcow2 -b "$PWD/base.luks" -F luks vdc.qcow2 16M
declare -A opened=(
  [vda]=driver=qcow2,file.filename=vda.qcow2
  [vdb]=driver=qcow2,encrypt.key-secret=vdb,file.filename=vdb.qcow2
  [vdc]=driver=qcow2,backing.key-secret=vdc,file.filename=vdc.qcow2)
qemu-io "${qemu_secrets[@]}" --image-opts -c 'write -q -P 9 0 16M' \
  driver=luks,key-secret=vdc,file.filename=base.luks
# What they hold is written to a raw file, too, without any of this.
for disk in vda vdb vdc; do
  truncate -s 16M $disk.model
  [ $disk != vdc ] || qemu-io -f raw -c 'write -q -P 9 0 16M' $disk.model
  qemu-io "${qemu_secrets[@]}" --image-opts -c 'write -q -P 1 0 4M' \
    ${opened[$disk]}
  qemu-io -f raw -c 'write -q -P 1 0 4M' $disk.model
done
lab_start

# secret DISK: $uuid is libvirt's name of it.
secret ()
{
  uuid=$(cat /proc/sys/kernel/random/uuid)
  cat >secret.xml <<EOF
<secret ephemeral='no' private='yes'><uuid>$uuid</uuid></secret>
EOF
  virsh secret-define secret.xml
  virsh secret-set-value "$uuid" --file key-$1 --plain >/dev/null
}
secret vdb
vdb=$uuid
secret vdc
vdc=$uuid
guest_define web1 vda.qcow2 vdb.qcow2 vdc.qcow2
virsh dumpxml --inactive web1 >web1.xml
"$python" - web1.xml "$vdb" "$vdc" "$PWD/base.luks" <<'EOF'
import sys, xml.etree.ElementTree as ET
name, vdb, vdc, base = sys.argv[1:]
tree = ET.parse(name)

def encrypt(source, uuid):
    encryption = ET.SubElement(source, "encryption", format="luks")
    ET.SubElement(encryption, "secret", type="passphrase", uuid=uuid)

for disk in tree.getroot().iterfind("devices/disk"):
    target = disk.find("target").get("dev")
    if target == "vdb":
        encrypt(disk.find("source"), vdb)
    if target == "vdc":
        backing = ET.SubElement(disk, "backingStore", type="file")
        ET.SubElement(backing, "format", type="raw")
        encrypt(ET.SubElement(backing, "source", file=base), vdc)
        ET.SubElement(backing, "backingStore")
tree.write(name)
EOF
virsh define web1.xml
guest_start web1
lab_state web1 >state

# change DISK COMMAND
change ()
{
  guest_write web1 "$1" "$2"
  qemu-io -f raw -c "${2/write/write -q}" "$1.model"
}

# backup FROM TO PARAMETERS…: the disks of now are what the model is, whole and
# as an increment; $disk.TO.raw is left.  The guest writes meanwhile, if it runs.
backup ()
{
  local from=$1 to=$2 disk uri
  shift 2
  start_nbdkit server.sock "$@"
  for disk in vda vdb vdc; do
    cp $disk.model $disk.$to.raw
    [ "$(virsh domstate web1 | head -n 1)" = "shut off" ] \
      || change $disk "write -P $((++written)) $((written * 64))k 64k"
    uri="nbd+unix:///$disk@?socket=$PWD/server.sock"
    nbdcopy "$uri" got.raw
    cmp $disk.$to.raw got.raw || fail "$to: other bytes in $disk"
    [ -n "$from" ] || continue
    uri="nbd+unix:///$disk@$from?socket=$PWD/server.sock"
    qemu-img convert -f raw -B $disk.$from.raw -F raw -O qcow2 "$uri" inc.qcow2
    qemu-img compare -q -f raw -F qcow2 $disk.$to.raw inc.qcow2 \
      || fail "$to: the increment makes another disk than $disk"
    nbdinfo --json --map "$uri" >map.json
    jq -e 'map(select(.type == 1).length) | add > 12582912' map.json >/dev/null \
      || fail "$to: $disk is copied whole: $(cat map.json)"
  done
  stop_nbdkit
}
written=100
live=(libvirt="$connect" domain=web1)

# Running.
backup '' monday "${live[@]}" create=monday
for disk in vda vdb vdc; do
  change $disk "write -P 2 1M 64k"
  change $disk "write -z 3M 128k"
done
backup monday tuesday "${live[@]}" checkpoint=monday create=tuesday
for disk in vda vdb vdc; do change $disk "write -P 3 4M 200k"; done
backup tuesday wednesday "${live[@]}" checkpoint=tuesday
backup monday thursday "${live[@]}" checkpoint=monday
virsh checkpoint-list web1
guest_destroy web1

# Stopped.
images=(vda:vda.qcow2 vdb:vdb.qcow2 vdc:vdc.qcow2)
secrets=(secret=vdb:key-vdb secret=vdc:key-vdc)
md5sum vd?.qcow2 base.luks "$place" >before
backup monday file "${images[@]}" "${secrets[@]}" checkpoint=monday
backup tuesday later "${images[@]}" secret=key-vdb secret=key-vdc \
  checkpoint=tuesday cache=none
backup monday off "${live[@]}" "${secrets[@]}" checkpoint=monday
backup tuesday off "${live[@]}" "${secrets[@]}" checkpoint=tuesday
refuses 'vdb.qcow2 .*encrypted.*secret=' "${images[@]}" checkpoint=monday \
  secret=vdc:key-vdc
# With libvirt= the disks that can be read are, and the others are named.
serve "${live[@]}" checkpoint=monday secret=vdc:key-vdc -- '
  nbdcopy "nbd+unix:///vda@?socket=$unixsocket" vda.got
  nbdcopy "nbd+unix:///vdc@?socket=$unixsocket" vdc.got' 2>log \
  || cp log refused.log
grep -q 'vdb.*encrypted.*secret=' log || fail "$(cat log)"
md5sum -c --quiet before || fail "a disk was changed"

# The record goes on.
guest_start web1
for disk in vda vdb vdc; do change $disk "write -P 4 9M 64k"; done
backup monday again "${live[@]}" checkpoint=monday
guest_destroy web1
backup tuesday end "${live[@]}" "${secrets[@]}" checkpoint=tuesday
