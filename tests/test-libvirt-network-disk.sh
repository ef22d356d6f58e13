#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A stopped guest whose disks are on servers: read from there, as its definition
# names them.  Nothing locks them, which is said.  What a name cannot tell QEMU is
# refused, never read otherwise than the guest does.
LAB_ROOT_ONLY=1                 # a network of its own, for the ports
. "$(dirname "$0")/libvirt-lab.sh"

guest_disk vda.qcow2 16M
guest_disk vdc.qcow2 16M
truncate -s +8M vda.qcow2 vdc.qcow2     # an export does not grow
truncate -s 16M vdb.raw
qemu-io -f raw -c 'write -q -P 7 0 4M' vdb.raw
qemu-nbd -f raw -t -e 8 -k "$PWD/vda.sock" -x 'a b' --cache=writeback \
  vda.qcow2 &
pids+=($!)
qemu-nbd -f raw -t -e 8 -b 127.0.0.1 -p 10811 -x b --cache=writeback vdb.raw &
pids+=($!)
qemu-nbd -f raw -t -e 8 -k "$PWD/vdc.sock" --cache=writeback vdc.qcow2 &
pids+=($!)
wait_until 10 listens vda.sock
wait_until 10 listens vdc.sock
wait_until 10 nbdinfo --size nbd://127.0.0.1:10811/b >/dev/null

lab_start
guest_define web1 a.qcow2 b.raw c.qcow2
a="<source protocol='nbd' name='a b'><host transport='unix' socket='$PWD/vda.sock'/></source>"
b="<source protocol='nbd' name='b'><host name='127.0.0.1' port='10811'/></source>"
c="<source protocol='nbd'><host transport='unix' socket='$PWD/vdc.sock'/></source>"
# define A C: vda and vdc with these sources.
define ()
{
  sed "s,<name>,<uuid>$(virsh domuuid web1)</uuid>&,
    s,type='file' device,type='network' device,
    s,<source file='[^']*/a.qcow2'/>,$1,; s,<source file='[^']*/b.raw'/>,$b,
    s,<source file='[^']*/c.qcow2'/>,$2," \
    lab/web1.xml >web1.xml
  virsh define web1.xml
}
define "$a" "$c"
guest_start web1
virsh checkpoint-create-as web1 monday --diskspec vda \
  --diskspec vdb,checkpoint=no --diskspec vdc
guest_write web1 vda "write -P 2 1M 192k"
guest_write web1 vda "write -z 2M 64k"
guest_write web1 vdb "write -P 3 5M 64k"

# serves: the increment of vda, and vdb whole.
serves ()
{
  serve libvirt="$connect" domain=web1 checkpoint=monday on-missing=full \
    view=sparse scratch-dir="$PWD" -- '
    nbdinfo --map --json "nbd+unix:///vda?socket=$unixsocket" >map
    nbdinfo "nbd+unix:///vdb?socket=$unixsocket" >info
    nbdinfo "nbd+unix:///vda@?socket=$unixsocket" >whole
    nbdcopy "nbd+unix:///vda@?socket=$unixsocket" a.got
    nbdcopy "nbd+unix:///vdb?socket=$unixsocket" b.got' 2>log
  jq -r '.[] | select(.type == 0 or .type == 2) | "\(.offset) \(.length)"' \
    map | join_ranges | diff -u <(printf '1048576 196608\n2097152 65536\n') -
  grep 'disk vdb .*served whole, .*16777216 bytes dirty' info
}
serves
mv a.got a.running
mv b.got b.running
guest_destroy web1
sync vda.qcow2 vdb.raw vdc.qcow2
md5sum vda.qcow2 vdb.raw vdc.qcow2 >before
serves
cat log
qemu-img compare -U -f raw -F qcow2 a.got vda.qcow2
cmp a.running a.got
cmp vdb.raw b.got
cmp b.running b.got
grep 'the whole disk vda, as long as nobody writes to its server' whole \
  || fail "it is said to be locked: $(cat whole)"
for disk in "vda: .*nbd+unix:///a%20b" "vdb: .*nbd://127.0.0.1:10811/b"; do
  grep "disk $disk.*, which cannot be locked; .* must stay stopped" log \
    || fail "no warning of $disk"
done
! grep 'not in its chain' log || fail "a false alarm"
! grep 'GLib' log || fail "the server ended badly"
md5sum -c --quiet before || fail "a server was written to"

# An overlay here, on a server that only the definition may name.
qemu-img create -q -f qcow2 -b nbd://127.0.0.1:10811/b -F raw over.qcow2
qemu-io -f qcow2 -c 'write -q -P 9 8M 64k' over.qcow2
qemu-img convert -O raw over.qcow2 over.raw
# overlay BELOW: the guest's only disk, with that below it.
overlay ()
{
  sed "s,<name>,<uuid>$(virsh domuuid web1)</uuid>&,
    s,<source file='[^']*/a.qcow2'/>,<source file='$PWD/over.qcow2'/>$1," \
    lab/web1.xml | "$python" -c '
import sys, xml.etree.ElementTree as ET
domain = ET.parse(sys.stdin).getroot()
devices = domain.find("devices")
for disk in devices.findall("disk")[1:]:
    devices.remove(disk)
print(ET.tostring(domain, encoding="unicode"))' >over.xml
  virsh define over.xml
}
overlay ''
refuses 'its backing file "nbd://127.0.0.1:10811/b" is not a local file' \
  libvirt="$connect" domain=web1 on-missing=full
overlay "<backingStore type='network'><format type='raw'/>$b<backingStore/></backingStore>"
serve libvirt="$connect" domain=web1 on-missing=full -- \
  'nbdcopy "nbd+unix:///vda?socket=$unixsocket" over.got' 2>log
cmp over.raw over.got
grep 'disk vda: .*nbd://127.0.0.1:10811/b, which cannot be locked' log
overlay "<backingStore type='network'><format type='raw'/>$c<backingStore/></backingStore>"
refuses "over.qcow2 names nbd://127.0.0.1:10811/b as its backing file, and the guest's definition nbd.unix:///" \
  libvirt="$connect" domain=web1 on-missing=full
refuses "over.qcow2 names nbd://127.0.0.1:10811/b as its backing file, and the guest's definition nbd.unix:///" \
  libvirt="$connect" domain=web1 on-missing=full backing=nbd://127.0.0.1:10811/b

# Exchanged: the documents name them by their servers.
define "$c" "$a"
! serve libvirt="$connect" domain=web1 checkpoint=monday disk=vda -- true \
  2>log || fail "exchanged disks are served"
grep 'vda is not the disk that it was at checkpoint monday: its .*vdc.sock was vdc then' \
  log

# refused REGEX SOURCE: vda with that <source>.
refused ()
{
  define "$2" "$c"
  refuses "disk vda cannot be served: .*: $1 .*virsh .*start --paused web1" \
    libvirt="$connect" domain=web1 disk=vda
}
refused "its tls='yes' is not followed" "${a/protocol/tls=\'yes\' protocol}"
refused 'only a part of it is the disk .<slices>.,' \
  "${a/<\/source>/<slices><slice type=\'storage\' offset=\'0\' size=\'65536\'\/><\/slices></source>}"
refused 'its protocol gluster is not followed' \
  "<source protocol='gluster' name='v/i'><host name='h'/></source>"
refused 'its <auth> is not followed' \
  "<source protocol='rbd' name='p/i'><auth username='u'><secret type='ceph' usage='x'/></auth></source>"

# The server is gone.
define "$a" "$c"
kill "${pids[0]}"
wait "${pids[0]}" || :
refuses 'nbd.unix:///a%20b.*vda.sock cannot be read: .*connect' \
  libvirt="$connect" domain=web1 checkpoint=monday disk=vda
