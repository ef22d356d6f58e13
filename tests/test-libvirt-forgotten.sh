#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A checkpoint that libvirt has forgotten and the images have not ("Bitmap already
# exists"): what is printed is typed, and helps.
. "$(dirname "$0")/libvirt-lab.sh"

guest_disk vda.qcow2
guest_disk vdb.qcow2
lab_start
guest_define web1 vda.qcow2 vdb.qcow2
guest_start web1
virsh checkpoint-create-as web1 c1
virsh checkpoint-create-as web1 c2 --diskspec vda,checkpoint=no --diskspec vdb
guest_write web1 vda "write -P 2 1M 64k"

dirty ()
{
  serve libvirt="$connect" domain=web1 checkpoint="$1" disk=vda -- \
    'nbdinfo --map "$uri"' >map
  grep -Eq '^ *1048576 +65536 +0 +data' map || fail "$(cat map)"
}

remove_bitmap ()
{
  local node
  node=$(lab_qmp web1 query-named-block-nodes '{"flat": true}' | jq -r --arg \
    file "$tmpdir/$1.qcow2" '.[] | select(.drv == "qcow2" and .file == $file)
                             | ."node-name"')
  lab_qmp web1 block-dirty-bitmap-remove "{\"node\": \"$node\", \"name\": \"$2\"}"
}

# Who asks for a disk that c2 does not cover is told of c1, too.
refuses_export 'checkpoint c2 does not cover disk vda, .*; checkpoints that do: c1' \
  vda libvirt="$connect" domain=web1 checkpoint=c2
# To be made again, on one disk that has the bitmap and one that lacks it.
virsh checkpoint-delete --metadata web1 c1
remove_bitmap vdb c1
lab_state web1 >before
refuses 'Bitmap already exists: c1; one or more of disk vda, vdb have a bitmap c1, of a checkpoint that libvirt does not know any more, or of another program.s; choose another name with create=, or, .*delete it with: ' \
  libvirt="$connect" domain=web1 create=c1
lab_state web1 | diff -u before - || fail "the refusal left something"
type_printed ' delete it with: '
[ -z "$(virsh checkpoint-list web1 --name | grep c1)" ] || fail "c1 is known"
serve libvirt="$connect" domain=web1 create=c1 -- 'nbdinfo "$uri" >/dev/null
  nbdinfo "nbd+unix:///vda?socket=$unixsocket"' >/dev/null
guest_write web1 vda "write -P 3 1M 64k"
dirty c1

# One that libvirt knows, as the only and as one of many: deleted as it is told, and
# whether all its disks have it or one has lost it.
known='checkpoint c3 cannot be made: .* has one of that name; choose another name with create=, or, .*delete it with: '
for lost in '' vda vdb 'vda vdb'; do
  virsh checkpoint-create-as web1 c3
  for disk in $lost; do remove_bitmap "$disk" c3; done
  refuses "$known" libvirt="$connect" domain=web1 create=c3
  [ -z "$lost" ] || ! virsh checkpoint-delete web1 c3 \
    || fail "libvirt deletes it, so nothing else need be said"
  type_printed ' delete it with: '
  ! lab_state web1 | grep c3 || fail "c3 is still there"
  dirty c1
done

# Its bitmap is in QEMU only.
virsh checkpoint-create-as web1 new
guest_write web1 vda "write -P 9 3M 64k"
virsh checkpoint-delete --metadata web1 new
refuses 'there is no checkpoint new; known are: .*; if libvirt may have forgotten it .*, tell it again, .*, with: ' \
  libvirt="$connect" domain=web1 checkpoint=new
type_printed ' with: '
serve libvirt="$connect" domain=web1 checkpoint=new -- \
  'nbdinfo --map --json "nbd+unix:///vda?socket=$unixsocket" | jq -c "[.[] | select(.type == 0) | .offset]"' >dirty
[ "$(cat dirty)" = "[3145728]" ] || fail "since new: $(cat dirty)"
virsh checkpoint-delete web1 new
refuses 'there is no checkpoint none; ' libvirt="$connect" domain=web1 checkpoint=none
! type_printed ' with: ' || fail "libvirt believes what no disk has"
[ -z "$(virsh checkpoint-list web1 --name | grep -x none)" ] || fail "none is known"

# To be read since: the guest runs, and does not.
virsh checkpoint-delete --metadata web1 c1
virsh destroy web1
guest_start web1
forgotten='libvirt does not know checkpoint c1, but disk vda, vdb has a bitmap of that name .*; tell it again with: '
refuses "$forgotten" libvirt="$connect" domain=web1 checkpoint=c1
type_printed ' with: '
dirty c1
virsh checkpoint-delete --metadata web1 c1
virsh destroy web1
refuses "$forgotten" libvirt="$connect" domain=web1 checkpoint=c1
type_printed ' with: '
dirty c1
# One that was not recording all the time is not believed after that, either.
virsh checkpoint-delete --metadata web1 c1
qemu-img bitmap --disable vda.qcow2 c1
qemu-img bitmap --disable vdb.qcow2 c1
refuses 'no checkpoint c1' libvirt="$connect" domain=web1 checkpoint=c1
guest_start web1
refuses "$forgotten" libvirt="$connect" domain=web1 checkpoint=c1
type_printed ' with: '
refuses 'c1' libvirt="$connect" domain=web1 checkpoint=c1
virsh destroy web1
refuses 'c1 .*not recording' libvirt="$connect" domain=web1 checkpoint=c1 disk=vda
mkdir tree
virsh checkpoint-dumpxml web1 c2 >tree/c2.xml
qemu-img bitmap --enable vda.qcow2 c1
refuses 'no document of checkpoint c1, but disk vda has a bitmap of that name; without tree=' \
  vda.qcow2 tree=tree checkpoint=c1
