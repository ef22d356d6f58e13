#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# What a guest's definition tells of the images below a disk's own: it gives a
# format that the overlay does not record, and must agree with what is there, for
# libvirt has QEMU open what the definition names.
. "$(dirname "$0")/libvirt-lab.sh"

guest_disk base.qcow2 16M
lab_start
guest_define web1 base.qcow2
guest_start web1
virsh checkpoint-create-as web1 monday
guest_write web1 vda 'write -P 2 1M 64k'
virsh snapshot-create-as web1 snap --disk-only --no-metadata \
  --diskspec "vda,file=$tmpdir/vda.qcow2"
guest_write web1 vda 'write -P 3 2M 128k'
guest_write web1 vda 'write -z 3M 64k'
guest_destroy web1
# The truth, of images that record it.
qemu-img convert -f qcow2 -O raw vda.qcow2 want.raw
{ qemu_dirty base.qcow2 monday; qemu_dirty vda.qcow2 monday; } >want
forget_format vda.qcow2
sed -i 's,base.qcow2,vda.qcow2,' lab/web1.xml

# define BELOW: web1, with that after its disk's <source>.
define ()
{
  sed "s,<name>,<uuid>$(virsh domuuid web1)</uuid>&,
    s,\(<source file='[^']*vda.qcow2'/>\),\1$1," lab/web1.xml >web1.xml
  virsh define web1.xml
}
# below FORMAT FILE [END]: what the definition says there.
below ()
{
  local end=${3-<backingStore/>}
  echo "<backingStore type='file'><format type='$1'/><source file='$2'/>$end</backingStore>"
}

define ''
refuses 'vda.qcow2 does not record the format of its backing file' \
  libvirt="$connect" domain=web1 disk=vda

# serves ARGS…: what the disk is since monday, and all of it.
serves ()
{
  serve libvirt="$connect" domain=web1 "$@" view=sparse -- '
    nbdinfo --map --json "nbd+unix:///vda@monday/0?socket=$unixsocket" >part0
    nbdinfo --map --json "nbd+unix:///vda@monday/1?socket=$unixsocket" >part1
    nbdcopy "nbd+unix:///vda@?socket=$unixsocket" got.raw'
  cmp want.raw got.raw
  jq -r '.[] | select(.type == 0 or .type == 2) | "\(.offset) \(.length)"' \
    part1 part0 | sort -n | diff -u <(sort -n want) -
}
# A person may say it.
serves backing-format=qcow2
for end in '<backingStore/>' ''; do
  define "$(below qcow2 "$PWD/base.qcow2" "$end")"
  serves
done
# By another name of the same file.
ln -s base.qcow2 link.qcow2
define "$(below qcow2 "$PWD/link.qcow2")"
serves

# Another format, another file, none, one too many.
define "$(below raw "$PWD/base.qcow2")"
qemu-img rebase -q -u -f qcow2 -b base.qcow2 -F qcow2 vda.qcow2
refuses 'disk vda cannot be served: .*raw' \
  libvirt="$connect" domain=web1 disk=vda
cp base.qcow2 other.qcow2
define "$(below qcow2 "$PWD/other.qcow2")"
refuses 'disk vda cannot be served: .*other.qcow2' \
  libvirt="$connect" domain=web1 disk=vda
define '<backingStore/>'
refuses "disk vda cannot be served: the guest's definition has nothing below $PWD/vda.qcow2 .*names $PWD/base.qcow2.*: virsh .*edit web1" \
  libvirt="$connect" domain=web1 disk=vda
define "$(below qcow2 "$PWD/base.qcow2" "$(below qcow2 "$PWD/other.qcow2")")"
refuses "disk vda cannot be served: the guest's definition has $PWD/other.qcow2 below $PWD/base.qcow2, which itself names none" \
  libvirt="$connect" domain=web1 disk=vda
define "$(below qcow2 "$PWD/base.qcow2")"
serves

# Nor does a parameter say otherwise.
refuses "disk vda cannot be served: it is qcow2 by the guest's definition, and not raw.*: virsh .*edit web1" \
  libvirt="$connect" domain=web1 disk=vda format=vda:raw on-missing=full
serve libvirt="$connect" domain=web1 format=vda:qcow2 format=raw -- true

# A part of a file, or a file that is handed over.
define ''
sed "s,\(<source file='[^']*'\)/>,\1><slices><slice type='storage' offset='0' size='1048576'/></slices></source>," \
  web1.xml >slice.xml
virsh define slice.xml
refuses 'disk vda cannot be served: .*vda.qcow2: only a part of it is the disk \(<slices>\), .*virsh .*start --paused web1' \
  libvirt="$connect" domain=web1 disk=vda

# Running: QEMU reads what the definition names.
define "$(below qcow2 "$PWD/base.qcow2")"
forget_format vda.qcow2
guest_start web1
virsh checkpoint-create-as web1 tuesday
guest_write web1 vda "write -P 5 6M 64k"
dirty ()
{
  serve libvirt="$connect" domain=web1 checkpoint=tuesday view=sparse \
    scratch-dir="$PWD" -- '
    nbdinfo --map --json "nbd+unix:///vda?socket=$unixsocket" >map
    nbdcopy "nbd+unix:///vda@?socket=$unixsocket" got.raw'
  jq -r '.[] | select(.type == 0) | "\(.offset) \(.length)"' map
}
[ "$(dirty)" = '6291456 65536' ] || fail "running: $(cat map)"
qemu-io -f raw -c 'write -q -P 5 6M 64k' want.raw
cmp want.raw got.raw
guest_destroy web1
[ "$(dirty)" = '6291456 65536' ] || fail "stopped: $(cat map)"
cmp want.raw got.raw
