# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Sourced after functions.sh by tests of a QEMU that runs without libvirt.

PATH=$PATH:/usr/sbin:/sbin
requires qemu-system-x86_64
requires jq
lab=$tmpdir/lab
mkdir "$lab"
. "$srcdir/tests/lab-boot.sh"

# qemu_start NAME OPTIONS…: a QEMU with the monitor NAME.sock, in $qemu_pid.  Its
# guest does not run unless $qemu_runs is set.
qemu_runs=
qemu_start ()
{
  local name=$1
  shift
  rm -f "$name.sock"
  qemu-system-x86_64 -accel tcg -nodefaults -display none -m 64 \
    ${qemu_runs:--S} -qmp "unix:$name.sock,server=on,wait=off" "$@" \
    >"$name.log" 2>&1 &
  qemu_pid=$!
  pids+=("$qemu_pid")
  wait_until 20 qemu_answers "$name"
}
qemu_answers ()
{
  kill -0 "$qemu_pid" 2>/dev/null || { cat "$1.log"; fail "QEMU ended"; }
  qmp "$1" query-status >/dev/null 2>&1
}

# qmp NAME COMMAND [ARGUMENTS]: prints what QEMU returns.
qmp ()
{
  "$python" "$srcdir/tests/qmp.py" "$1.sock" "${@:2}"
}

# qemu_write NAME BLOCK QEMU-IO-COMMAND: as if the guest had written, by way of
# the device at that path below /machine, or "peripheral/ID/virtio-backend".
qemu_write ()
{
  local arguments
  arguments=$(jq -n --arg line "qemu-io -d /machine/$2 \"$3\"" \
    '{"command-line": $line}')
  [ "$(qmp "$1" human-monitor-command "$arguments")" = '""' ] \
    || fail "not written: $3"
}

# qemu_snapshot NAME ARGUMENTS
qemu_snapshot () { qmp "$1" blockdev-snapshot-sync "$2" >/dev/null; }

# qemu_end NAME: calmly, so that bitmaps are saved.
qemu_end ()
{
  qmp "$1" quit >/dev/null 2>&1 || :
  wait "$qemu_pid" || fail "QEMU did not end well"
}

# qemu_state NAME: all that the tool must leave as it was: nodes, whether they are
# read-only, and their bitmaps.
qemu_state ()
{
  qmp "$1" query-named-block-nodes '{"flat": true}' | jq -c '
    .[] | select(.drv == "qcow2")
    | [.file, .ro, .cache, .detect_zeroes,
       ([."dirty-bitmaps"[]? | [.name, .recording, .persistent, .granularity]]
        | sort)]' | sort
}

# no_undo: no process of the tool's is left.
no_undo ()
{
  local pid
  for pid in $(pgrep -x checkpoint-undo || :); do
    ! grep -qsaF "$tmpdir" "/proc/$pid/environ" || return 1
  done
}

# two_disks: the files vda.qcow2 and vdb.qcow2, and the options for them in
# $disks: one by -drive, with the id vda, one by -blockdev, of the device vdb.
two_disks ()
{
  guest_disk vda.qcow2
  guest_disk vdb.qcow2
  disks=(
    -drive file=vda.qcow2,format=qcow2,if=none,id=vda,discard=unmap
    -device virtio-blk-pci,drive=vda,id=disk-a
    -blockdev file,node-name=vdb-file,filename=vdb.qcow2
    -blockdev qcow2,node-name=vdb-node,file=vdb-file
    -device virtio-blk-pci,drive=vdb-node,id=vdb
  )
}

# qemu_boot NAME FILE…: a real Linux that writes to the ext4 on each of these disks
# without pause, with its agent at NAME.agent.  The disks are vda, vdb…, and have an
# iothread.
qemu_boot ()
{
  local name=$1 file options=() letters=abcdefgh
  shift
  for file; do
    guest_ext4_disk "$file"
    options+=(-drive "file=$file,format=qcow2,if=none,id=vd${letters:0:1}"
      -device "virtio-blk-pci,drive=vd${letters:0:1},iothread=thread")
    letters=${letters:1}
  done
  lab_kernel
  lab_agent
  guest_initramfs "$lab/initramfs"
  qemu_runs=-no-reboot qemu_start "$name" -m 160 -object iothread,id=thread \
    "${options[@]}" \
    -kernel "$lab/vmlinuz" -initrd "$lab/initramfs" \
    -append "console=ttyS0 quiet panic=-1 mitigations=off nokaslr no_timer_check disks=$#" \
    -serial "file:$name.console" -device virtio-serial-pci \
    -chardev "socket,id=agent,path=$name.agent,server=on,wait=off" \
    -device virtserialport,chardev=agent,name=org.qemu.guest_agent.0
  wait_until 120 qemu_writes "$name"
}
qemu_writes () { [ "$(guest_rounds "$1")" -gt 0 ]; }
