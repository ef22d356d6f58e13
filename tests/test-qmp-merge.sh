#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# With qmp=, bitmaps of a chain's layers, and such as ended, are united in QEMU, without
# a filter; where QEMU cannot do that, the filter is needed.  A storage daemon's disks are
# served, too.
. "$(dirname "$0")/qmp-lab.sh"

guest_disk vda.qcow2 16M
guest_define web1 vda.qcow2
guest_start web1
source_of web1
write () { guest_write web1 vda "write -P $1 $2 64k"; }
snapshot () { qmp web1.see blockdev-snapshot-sync "{\"device\": \"vda\", \"snapshot-file\": \"$1\"}" >/dev/null; }
carry () { qmp web1.see block-dirty-bitmap-add "{\"node\": \"vda\", \"name\": \"$1\", \"persistent\": true}" >/dev/null; }

# since MEBIBYTES CHECKPOINT [PARAMETER…]: these are dirty, one block each, in a backup
# that makes the copy of that time the disk of now, while the guest writes elsewhere.
since ()
{
  local want=$1 name=$2 parameters=("${@:3}")
  rm -f nbdkit.log now.qcow2
  start_nbdkit n.sock "${source[@]}" checkpoint="$name" "${parameters[@]}"
  write 99 12M
  nbdinfo --map --json "nbd+unix:///vda?socket=n.sock" \
    | jq -c '[.[] | select(.type != 1) | .offset / 1048576]' >dirty
  [ "$(cat dirty)" = "$want" ] || fail "$name: dirty is $(cat dirty), not $want"
  nbdinfo --list "nbd+unix:///?socket=n.sock" | grep '^export=' >names
  ! grep / names || fail "there are parts: $(cat names)"
  qemu-img convert -f raw -O qcow2 -B "$PWD/$name.raw" -F raw \
    "nbd+unix:///vda?socket=n.sock" now.qcow2
  qemu-img compare -f qcow2 -F raw now.qcow2 "nbd+unix:///vda@?socket=n.sock" \
    || fail "$name: the copy is not the disk"
  stop_nbdkit
  write 88 12M
}
# copy NAME: what the disk holds now.
copy ()
{
  serve "${source[@]}" on-missing=full -- \
    "qemu-img convert -f raw -O raw \"\$uri\" $1.raw"
}

# ── Layers ──
write 88 12M
copy sunday
checkpoint_make web1 sunday
write 2 1M
since '[1]' sunday
snapshot vda.1.qcow2
carry sunday
write 3 2M
write 4 1M
since '[1,2,12]' sunday
copy monday
checkpoint_make web1 monday
write 5 5M
snapshot vda.2.qcow2
carry sunday
carry monday
guest_write web1 vda "write -z 6M 64k"
since '[1,2,5,6,12]' sunday
since '[5,6,12]' monday

# ── One without a bitmap, in which more may lie than anybody knows ──
snapshot vda.3.qcow2
write 7 7M
lab_state web1 >before
refuses_export 'disk vda since sunday is spread over 2 parts .*vda.3.qcow2 .no bitmap.*--filter=bitmap-merge' \
  vda "${source[@]}" checkpoint=sunday
nbdkit_options=(--filter="$filter")
serve "${source[@]}" checkpoint=sunday -- '
  nbdinfo --map --json "$uri" | jq -c "[.[] | select(.type != 1) | .offset / 1048576]" >dirty'
[ "$(cat dirty)" = '[1,2,5,6,7,12]' ] || fail "dirty is $(cat dirty)"
nbdkit_options=()
lab_state web1 | diff -u before - || fail "something is left"
guest_quit web1

# ── Those that ended, as libvirt before 6.5 left them ──
rm ./*.qcow2
mkdir tree
guest_disk vda.qcow2 16M
guest_start web1
write 88 12M
last=
for name in one two three; do
  copy $name
  "$tool" create $name --qmp=web1.sock --tree=tree >/dev/null
  [ -z "$last" ] || qmp web1.see block-dirty-bitmap-disable \
    "{\"node\": \"vda\", \"name\": \"$last\"}" >/dev/null
  last=$name
  case $name in one) write 2 2M ;; two) write 3 3M ;; three) write 4 4M ;; esac
done
since '[2,3,4]' one tree=tree
since '[3,4,12]' two tree=tree
since '[4,12]' three tree=tree
# Without the tree, nobody knows what goes on where one ended.
refuses 'disk vda: the bitmap of checkpoint one .*not recording.*full backup' "${source[@]}" checkpoint=one
guest_quit web1

# ── A storage daemon, which serves others ──
guest_disk disk.qcow2 16M
qemu-img bitmap --add disk.qcow2 monday
qemu-storage-daemon --chardev socket,id=m,path=s.sock,server=on,wait=off \
  --monitor chardev=m --blockdev file,node-name=f,filename=disk.qcow2 \
  --blockdev qcow2,node-name=disk,file=f >daemon.log 2>&1 &
pids+=($!)
wait_until 10 listens s.sock
qmp s --state >before
serve qmp=s.sock socket-dir="$lab_sockets" checkpoint=monday -- '
  nbdinfo --map --json "$uri" | jq -c "[.[] | select(.type != 1)]" >dirty
  nbdcopy "nbd+unix:///disk@?socket=$unixsocket" disk.raw'
[ "$(cat dirty)" = '[]' ] || fail "dirty is $(cat dirty)"
qemu-img compare -U -f raw -F qcow2 disk.raw disk.qcow2
qmp s --state | diff -u before - || fail "something is left in the daemon"
