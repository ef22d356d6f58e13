#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# What qemu-checkpoint says to type against an error is typed, and helps.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/image-kinds.sh"
PATH=$builddir/tool:$PATH
mkdir tmp
export TMPDIR=$PWD/tmp

# helps BEFORE ARGS…: the option that is printed after that, with the others.
helps ()
{
  printed "$1"
  type_it "qemu-checkpoint ${*:2} $printed" >typed || fail "$printed does not help"
  grep -q monday typed || fail "$printed gives: $(cat typed)"
}

guest_disk disk.qcow2 16M
qemu-img bitmap --add disk.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 2 1M 128k' disk.qcow2

# ── A file's name that looks like a target's and a file's ──
cp disk.qcow2 vda:disk.qcow2
mv disk.qcow2 "the disk.qcow2"
tool_says 2 'vda:disk.qcow2 means disk vda in disk.qcow2.*write --file=' \
  list --file=vda:disk.qcow2
helps 'for the file vda:disk.qcow2 write ' list

# ── Which disk of the tree it is; which guest ──
mkdir -p tree/web1 tree/web2
document ()
{
  cat <<END
<domaincheckpoint><name>monday</name><creationTime>1</creationTime>
  <disks><disk name='vda' checkpoint='bitmap' bitmap='monday'/>
    <disk name='vdb' checkpoint='bitmap' bitmap='monday'/></disks>
  <domain type='qemu'><name>$1</name><uuid>$2</uuid>
    <devices><disk type='file' device='disk'><source file='$3'/>
      <target dev='vda'/></disk></devices></domain>
</domaincheckpoint>
END
}
document web1 11111111-2222-3333-4444-555555555555 "$PWD/the disk.qcow2" \
  >tree/web1/monday.xml
document web2 11111111-2222-3333-4444-666666666666 /nowhere \
  >tree/web2/monday.xml
tool_says 2 'which disk of the tree is it.*write --file=TARGET' \
  list --tree=tree --domain=web2 --file="the disk.qcow2"
printed 'write '
type_it "qemu-checkpoint list --tree=tree --domain=web2 ${printed/TARGET/vdb}" \
  | grep monday
tool_says 2 'add --domain= with the name .*: web1, web2' list --tree=tree
"$tool" list --tree=tree --domain=web1 | grep monday

# ── A disk that has another's name today ──
"$tool" list --tree=tree --domain=web1 --file=vdb:"the disk.qcow2" --size --json \
  | jq -r '.checkpoints[0].sizes[] | select(.target == "vdb").why' >why
cat why
type_printed 'look at it as vda: ' '' why >typed
grep "vda.*size='131072'" typed || fail "it does not help: $(cat typed)"

# ── What an overlay does not record, or has elsewhere; passphrases ──
qemu-img create -q -f qcow2 -b "the disk.qcow2" -F qcow2 top.qcow2
qemu-img bitmap --add top.qcow2 monday
forget_format top.qcow2
tool_says 2 'say it with --backing-format=FORMAT' list --file=top.qcow2
"$tool" list --file=top.qcow2 --backing-format=qcow2 | grep monday

qemu-nbd -r -f qcow2 -k "$PWD/nbd.sock" --pid-file=nbd.pid -t "the disk.qcow2" &
pids+=($!)
wait_until 20 test -s nbd.pid
name=nbd+unix:///?socket=$PWD/nbd.sock
qemu-img create -q -f qcow2 -u -b "$name" -F raw far.qcow2 16M
qemu-img bitmap --add far.qcow2 monday
tool_says 2 'if it may, add --backing=' list --file=far.qcow2
helps 'if it may, add ' list --file=far.qcow2 --size

printf pass >key
qemu_secrets=(--object secret,id=key,file=key)
create_slowly "${qemu_secrets[@]}" -f qcow2 \
  -o encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10 luks.qcow2 1M
qemu-img bitmap "${qemu_secrets[@]}" --add --image-opts \
  driver=qcow2,encrypt.key-secret=key,file.filename=luks.qcow2 monday
tool_says 2 'passphrase: --secret=vda:FILE' list --file=luks.qcow2
printed 'its passphrase: '
type_it "qemu-checkpoint list --file=luks.qcow2 ${printed/FILE/key}" | grep monday
"$tool" list --file=luks.qcow2 --secret=-9 9<key | grep monday
tool_says 2 '--secret=-x: after the - belongs the number' list --secret=-x

# ── What has no checkpoints ──
qemu-img create -q -f raw disk.raw 1M
tool_says 2 'name the guest.s qcow2 disk' list --file=disk.raw
[ -z "$(ls tmp)" ] || fail "left over: $(ls tmp)"
