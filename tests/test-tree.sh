#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# tree=: libvirt's own documents give checkpoints their time and parent, name
# the disk by its path, and say which disk has which bitmap.
. "$(dirname "$0")/functions.sh"

guest_disk system.qcow2
guest_disk data.qcow2
for image in system data; do
  for name in monday tuesday; do
    qemu-img bitmap --add $image.qcow2 $name
    qemu-io -f qcow2 -c 'write -q -P 2 1M 64k' $image.qcow2
  done
done
qemu-img bitmap --add system.qcow2 stray

# document NAME TIME PARENT DISKS
document ()
{
  mkdir -p tree/web1
  cat >"tree/web1/$1.xml" <<EOF
<!--
WARNING: THIS IS AN AUTO-GENERATED FILE. CHANGES TO IT ARE LIKELY TO BE
OVERWRITTEN AND LOST.
-->
<domaincheckpoint>
  <name>$1</name>
  ${3:+<parent><name>$3</name></parent>}
  <creationTime>$2</creationTime>
  <disks>$4</disks>
  <domain type='qemu'>
    <name>web1</name>
    <uuid>8a5c3a0e-3c2e-4c5b-9a51-1ea2a4c7f001</uuid>
    <devices>
      <disk type='file' device='disk'>
        <source file='$PWD/system.qcow2'/><target dev='vda'/>
      </disk>
      <disk type='file' device='disk'>
        <source file='$PWD/data.qcow2'/><target dev='vdb'/>
      </disk>
    </devices>
  </domain>
</domaincheckpoint>
EOF
}
both="<disk name='vda' checkpoint='bitmap' bitmap='monday'/>
      <disk name='vdb' checkpoint='bitmap' bitmap='monday'/>"
document monday 1700000000 '' "$both"
document tuesday 1700086400 monday \
  "<disk name='vda' checkpoint='bitmap' bitmap='tuesday'/>
   <disk name='vdb' checkpoint='no'/>"

names () { jq -r '[.exports[]["export-name"]] | join(" ")' list.json; }

# By path, in any order; the parent folder with domain= is the same tree.
for tree in tree=tree/web1 'tree=tree domain=web1' \
            'tree=tree/web1 domain=8A5C3A0E-3C2E-4C5B-9A51-1EA2A4C7F001'; do
  serve data.qcow2 system.qcow2 $tree -- \
    'nbdinfo --list --json "$uri"' >list.json
  [ "$(names)" = "vdb vdb@monday vda@monday vda@tuesday vdb@ vda@" ] \
    || fail "$tree lists: $(names)"
done
jq -r '.exports[].description' list.json
jq -r '.exports[3].description' list.json | grep -q 'disk vda since checkpoint tuesday of 2023-11-15T22:13:20Z, parent monday; 65536 bytes dirty, granularity 65536; healthy' \
  || fail "the description lacks something"

# checkpoint= decides the plain names; a disk that it does not cover is
# reported, and refused by name.
serve data.qcow2 system.qcow2 tree=tree/web1 checkpoint=tuesday -- \
  'nbdinfo --list --json "$uri"' >list.json 2>log
[ "$(names)" = "vdb@monday vda vda@monday vda@tuesday vdb@ vda@" ] \
  || fail "with checkpoint=tuesday: $(names)"
grep -q 'error: NOT in this backup .on-missing=full serves it whole.: checkpoint tuesday does not cover disk vdb.*monday' log \
  || fail "the disk that is not covered is not reported"
refuses_export 'checkpoint tuesday does not cover disk vdb' vdb \
  data.qcow2 system.qcow2 tree=tree/web1 checkpoint=tuesday

# A bitmap that no document knows is not a checkpoint when there is a tree.
refuses_export 'there is no checkpoint stray' vda@stray \
  system.qcow2 tree=tree/web1
# An explicit target names a file that the documents do not know; one that they
# know as another disk is not that disk.
refuses 'vdb is not the disk .*system.qcow2 was vda then' \
  vdb:system.qcow2 tree=tree/web1 checkpoint=monday
cp system.qcow2 elsewhere.qcow2
serve vdb:elsewhere.qcow2 tree=tree/web1 -- 'nbdinfo --list --json "$uri"' \
  >list.json
[ "$(names)" = "vdb vdb@monday vdb@" ] || fail "explicit target: $(names)"
