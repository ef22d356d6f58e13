#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# uri=: a view of a qemu-nbd export, over a Unix socket and over TCP; the
# bitmap by checkpoint=, by bitmap=, or the only one there is.
. "$(dirname "$0")/functions.sh"

guest_disk disk.qcow2
qemu-img bitmap --add disk.qcow2 monday
cp disk.qcow2 monday.qcow2
qemu-io -f qcow2 -c 'write -q -P 2 100k 300k' -c 'write -q -z 2M 1M' disk.qcow2
qemu-img bitmap --add disk.qcow2 backup-vda
qemu-io -f qcow2 -c 'write -q -P 3 5M 64k' disk.qcow2
qemu_dirty disk.qcow2 monday >monday.want
qemu_dirty disk.qcow2 backup-vda >backup.want

# export_disk ARGS…: qemu-nbd in the background.
export_disk ()
{
  rm -f qemu.sock
  qemu-nbd -r -f qcow2 -k "$PWD/qemu.sock" "$@" disk.qcow2 &
  qemu_pid=$!
  pids+=("$qemu_pid")
  wait_until 10 listens qemu.sock
}
uri="nbd+unix:///?socket=$PWD/qemu.sock"

# backup WANT ARGS…
backup ()
{
  local want=$1
  shift
  serve "$@" -- '
    qemu-img convert -f raw -B monday.qcow2 -F qcow2 -O qcow2 "$uri" inc.qcow2'
  allocated inc.qcow2 >got
  diff -u "$want" got || fail "wrong clusters for $*"
}

# qemu-nbd as it comes: one client, and the end when that leaves.
export_disk -B monday
backup monday.want uri="$uri"
qemu-img compare -f qcow2 -F qcow2 disk.qcow2 inc.qcow2
wait "$qemu_pid" || fail "qemu-nbd failed"

export_disk -B monday -B backup-vda -t -e 20
backup monday.want uri="$uri" checkpoint=monday
backup backup.want uri="$uri" bitmap=backup-vda
backup backup.want uri="$uri" bitmap=backup-vda checkpoint=monday
serve uri="$uri" bitmap=backup-vda checkpoint=monday disk=sda -- \
  'nbdinfo --list --json "$uri"' >list.json
[ "$(jq -r '[.exports[]["export-name"]] | join(" ")' list.json)" \
  = "sda sda@monday sda@" ] || fail "$(cat list.json)"
jq -r '.exports[0].description' list.json \
  | grep -q 'disk sda since checkpoint monday; 65536 bytes dirty; health not told by the server' \
  || fail "$(cat list.json)"
kill "$qemu_pid"

# TCP.
port=$(free_ports)
qemu-nbd -r -f qcow2 -t -e 20 -b 127.0.0.1 -p "$port" -x disk -B monday \
  disk.qcow2 &
pids+=($!)
wait_until 10 nbdinfo "nbd://127.0.0.1:$port/disk" >/dev/null 2>&1
backup monday.want uri="nbd://127.0.0.1:$port/disk" checkpoint=monday
