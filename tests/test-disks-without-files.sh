#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Disks that changed names since the checkpoint, and lie in volumes of a pool or on
# servers: where they lay then is told by pool and volume, or by the server.
LAB_ROOT_ONLY=1                 # a session daemon has no pools here
. "$(dirname "$0")/libvirt-lab.sh"

dirty ()
{
  serve libvirt="$connect" domain=web1 view=sparse scratch-dir="$tmpdir" \
    checkpoint=c0 -- 'nbdinfo --map --json "nbd+unix:///vda?socket=$unixsocket"' \
    2>log | jq -c '[.[] | select(.type == 0) | .offset / 1048576]'
}

# moves KIND A B: a guest whose disks are these <source> elements, then exchanged.
moves ()
{
  local kind=$1 a=$2 b=$3
  guest_define web1 a.qcow2 b.qcow2
  sed "s,type='file' device,type='$kind' device,
    s,<source file='[^']*/a.qcow2'/>,$a,; s,<source file='[^']*/b.qcow2'/>,$b," \
    lab/web1.xml >there.xml
  virsh undefine web1
  virsh define there.xml
  guest_start web1
  virsh checkpoint-create-as web1 c0
  guest_write web1 vda "write -P 2 1M 64k"
  guest_write web1 vdb "write -P 2 2M 64k"
  [ "$(dirty)" = '[1]' ] || fail "$kind, where it was: $(cat log; dirty)"
  ! grep 'is not the disk\|not in its chain' log || fail "$kind: false alarm"
  guest_destroy web1
  guest_start web1
  [ "$(dirty)" = '[1]' ] || fail "$kind, started again: $(cat log; dirty)"
  guest_destroy web1
  virsh dumpxml --inactive web1 >here.xml
  "$python" - >moved.xml <<'END'
import xml.etree.ElementTree as ET
domain = ET.parse("here.xml").getroot()
one, other = domain.findall("devices/disk")[:2]
for disk, source in (one, other.find("source")), (other, one.find("source")):
    disk.remove(disk.find("source"))
    disk.append(source)
print(ET.tostring(domain, encoding="unicode"))
END
  virsh define moved.xml
  guest_start web1
  refuses 'vda is not the disk that it was at checkpoint c0: its .* was vdb then' \
    libvirt="$connect" domain=web1 scratch-dir="$tmpdir" checkpoint=c0 disk=vda
  guest_destroy web1
  virsh undefine web1 --checkpoints-metadata
}

for disk in a b; do guest_disk $disk.qcow2 16M; done
lab_start
mkdir pool
mv a.qcow2 b.qcow2 pool
cat >pool.xml <<END
<pool type='dir'><name>p</name><target><path>$tmpdir/pool</path></target></pool>
END
virsh pool-define pool.xml
virsh pool-start p
moves volume "<source pool='p' volume='a.qcow2'/>" \
  "<source pool='p' volume='b.qcow2'/>"

# By the server's socket alone.
for disk in a b; do
  rm -f $disk.qcow2
  guest_disk $disk.qcow2 16M
  truncate -s +8M $disk.qcow2           # an export does not grow
  qemu-nbd -f raw -t -e 8 -k "$PWD/$disk.sock" --cache=writeback $disk.qcow2 &
  pids+=($!)
  wait_until 10 listens $disk.sock
done
host="<source protocol='nbd'><host transport='unix' socket='$PWD"
moves network "$host/a.sock'/></source>" "$host/b.sock'/></source>"
