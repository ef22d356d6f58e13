#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Disks that changed names since the checkpoint: the bitmap of that name is
# another disk's.  They are refused, running, stopped and as files with a tree, or
# served whole; disks that did not move stay incremental.  What is printed to read one
# by its name of then is typed.
. "$(dirname "$0")/libvirt-lab.sh"

for disk in a b c; do guest_disk $disk.qcow2 16M; done
lab_start
guest_define web1 a.qcow2 b.qcow2 c.qcow2
guest_start web1
virsh checkpoint-create-as web1 c0
i=9
for disk in vda vdb vdc; do guest_write web1 $disk "write -P $i $((i++))M 64k"; done
guest_destroy web1
virsh dumpxml --inactive web1 >first.xml
mkdir tree
virsh checkpoint-dumpxml web1 c0 >tree/c0.xml

# define TARGET=FILE…: the guest with these disks, and its checkpoints.
define ()
{
  "$python" - "$tmpdir" "$@" <<'END' >now.xml
import sys, xml.etree.ElementTree as ET
domain = ET.parse("first.xml").getroot()
devices = domain.find("devices")
disks = {d.find("target").get("dev"): d for d in devices.findall("disk")}
for disk in disks.values():
    devices.remove(disk)
for pair in sys.argv[2:]:
    target, path = pair.split("=")
    disk = disks[target]
    disk.find("source").set("file", sys.argv[1] + "/" + path)
    devices.append(disk)
print(ET.tostring(domain, encoding="unicode"))
END
  virsh define now.xml
  [ -n "$(virsh checkpoint-list web1 --name)" ] || fail "its checkpoints are gone"
}

# dirty EXPORT OPTIONS…: where it is dirty, in MiB.
dirty ()
{
  local export=$1
  shift
  export=$export serve "$@" view=sparse -- '
    nbdinfo --map --json "nbd+unix:///$export?socket=$unixsocket"' 2>log \
    | jq -c '[.[] | select(.type == 0) | .offset / 1048576]'
}
here=(libvirt="$connect" domain=web1)

# is_refused TARGET WHAT [MORE…]: while others are served.
is_refused ()
{
  local target=$1 what=$2
  shift 2
  refuses_export "disk $target is not the disk that it was at checkpoint c0: $what" \
    "$target" "$@" checkpoint=c0
  grep -q "error: .*disk $target is not the disk" refused.log \
    || fail "no warning at the start"
}
# is_whole TARGET FILE: and equal to it; it is said why.
is_whole ()
{
  [ "$(dirty "$1" "${here[@]}" checkpoint=c0 on-missing=full)" = '[0]' ] \
    || fail "$1 is not served whole"
  grep -q "error: .*disk $1 is served whole: .*is not the disk" log \
    || fail "it is not said why: $(cat log)"
  export=$1 serve "${here[@]}" checkpoint=c0 on-missing=full -- '
    qemu-img convert -O raw "nbd+unix:///$export?socket=$unixsocket" whole.raw'
  # A running guest's image is locked, and its own copy is compared.
  qemu-img convert -U -O raw "$2" truth.raw
  cmp whole.raw truth.raw || fail "$1 is another disk"
}

for state in stopped running; do
  go () { [ $state = stopped ] || guest_start web1; }
  stop () { [ $state = stopped ] || guest_destroy web1; }

  define vda=a.qcow2 vdb=b.qcow2 vdc=c.qcow2
  go
  for row in 'vda [9]' 'vdb [10]' 'vdc [11]'; do
    [ "$(dirty "${row% *}" "${here[@]}" checkpoint=c0)" = "${row#* }" ] \
      || fail "$state: unmoved ${row% *} is wrong"
  done
  ! grep 'is not the disk\|not in its chain' log || fail "$state: false alarm"
  stop

  # vdb is gone, and vdc has its name.
  define vda=a.qcow2 vdb=c.qcow2
  go
  is_refused vdb "its $PWD/c.qcow2 was vdc then" "${here[@]}"
  [ "$(dirty vda "${here[@]}" checkpoint=c0)" = '[9]' ] || fail "$state: vda"
  refuses 'vdb is not the disk .*was vdc then' "${here[@]}" checkpoint=c0 disk=vdb
  is_whole vdb c.qcow2
  stop

  # Exchanged.
  define vda=b.qcow2 vdb=a.qcow2 vdc=c.qcow2
  go
  is_refused vda "its $PWD/b.qcow2 was vdb then" "${here[@]}"
  is_refused vdb "its $PWD/a.qcow2 was vda then" "${here[@]}"
  [ "$(dirty vdc "${here[@]}" checkpoint=c0)" = '[11]' ] || fail "$state: vdc"
  is_whole vda b.qcow2
  stop
done

# By its name of then, the image tells: what is printed, when no guest runs.
typed ()
{
  printed "read it as $1: "
  type_it "$printed"' view=sparse -U - --run '\''nbdinfo --map --json "$uri"'\' \
    2>log | jq -c '[.[] | select(.type == 0) | .offset / 1048576]'
}
define vda=b.qcow2 vdb=a.qcow2 vdc=c.qcow2
refuses 'disk vda is not the disk' "${here[@]}" checkpoint=c0 disk=vda
[ "$(typed vdb)" = '[10]' ] || fail "exchanged, typed"

# A file that neither knows, where the disk's own has another name today.
cp c.qcow2 new.qcow2
define vda=a.qcow2 vdb=new.qcow2 vdc=b.qcow2
is_refused vdb "it was $PWD/b.qcow2 then, which is vdc now" "${here[@]}"

# Snapshots over them change nothing of that, either way.
qemu-img create -q -f qcow2 -b "$PWD/a.qcow2" -F qcow2 over-a.qcow2
qemu-img create -q -f qcow2 -b "$PWD/b.qcow2" -F qcow2 over-b.qcow2
define vda=over-a.qcow2 vdb=b.qcow2 vdc=c.qcow2
[ "$(dirty vda@c0/1 "${here[@]}" checkpoint=c0)" = '[9]' ] || fail "a snapshot"
! grep 'is not the disk\|not in its chain' log || fail "false alarm"
define vda=over-b.qcow2 vdb=over-a.qcow2 vdc=c.qcow2
is_refused vda "its $PWD/b.qcow2 was vdb then" "${here[@]}"

# As files, by whatever name.
[ "$(dirty vdc "vdc:$PWD/c.qcow2" tree=tree checkpoint=c0)" = '[11]' ] || fail "file"
ln -s c.qcow2 link.qcow2
for file in c.qcow2 link.qcow2; do
  refuses "vdb is not the disk .*$file was vdc then" \
    "vdb:$PWD/$file" tree=tree checkpoint=c0
done

# A later checkpoint's document, on the way from this one, says whose the file was
# in between: a copy (virsh blockcopy) that this one's does not know.
cp c.qcow2 copy.qcow2
for disk in a b copy; do qemu-img bitmap --add $disk.qcow2 c1; done
sed "s|<name>c0</name>|<name>c1</name><parent><name>c0</name></parent>|
  s|bitmap='c0'|bitmap='c1'|; s|$PWD/c.qcow2|$PWD/copy.qcow2|" tree/c0.xml >tree/c1.xml
[ "$(dirty vdc "vdc:$PWD/copy.qcow2" tree=tree checkpoint=c0)" = '[11]' ] \
  || fail "a copy: $(cat log)"
for checkpoint in c0 c1; do
  refuses 'vdb is not the disk that it was at checkpoint c1: .*copy.qcow2 was vdc then' \
    "vdb:$PWD/copy.qcow2" tree=tree checkpoint=$checkpoint
done

# On another bus, it has another name, and no other disk has its own.
mkdir 'a folder'
guest_disk 'a folder/d.qcow2' 16M
guest_define web2 'a folder/d.qcow2'
guest_start web2
virsh checkpoint-create-as web2 c0
guest_write web2 vda 'write -P 12 12M 64k'
guest_destroy web2
virsh dumpxml --inactive web2 \
  | sed "s|dev='vda' bus='virtio'|dev='sda' bus='scsi'|; /<address type='pci'/d" >bus.xml
virsh define bus.xml
here=(libvirt="$connect" domain=web2)
renamed="disk sda was vda at checkpoint c0 .its $PWD/a folder/d.qcow2., and is recorded there by that name only; make a full backup"
for state in stopped running; do
  [ $state = stopped ] || guest_start web2
  refuses "$renamed" "${here[@]}" checkpoint=c0
  cp refused.log typed.log
  [ "$(dirty sda "${here[@]}" checkpoint=c0 on-missing=full)" = '[0]' ] \
    || fail "$state: sda is not served whole"
  grep -q "disk sda is served whole: ${renamed%%;*}" log || fail "$state: it is not said why"
  case $state in
    stopped) refuses "$renamed" "${here[@]}" ;;
    running) refuses 'sda: no checkpoint covers it by that name' "${here[@]}"
             guest_destroy web2 ;;
  esac
  cp typed.log refused.log
  [ "$(typed vda)" = '[12]' ] || fail "$state: typed"
done
