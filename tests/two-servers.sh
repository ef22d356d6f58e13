# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Sourced by tests in which one server is followed by another at the same
# address.

# two_images SIZE BITMAP…: a.qcow2 is all 0xcc, b.qcow2 all 0xdd, and all of it is
# dirty in each bitmap.
bitmaps=()
two_images ()
{
  local size=$1 file bitmap
  shift
  for bitmap; do bitmaps+=(-B "$bitmap"); done
  for file in a.qcow2 b.qcow2; do
    qemu-img create -q -f qcow2 $file "$size"
    for bitmap; do qemu-img bitmap --add $file "$bitmap"; done
  done
  qemu-io -f qcow2 -c "write -q -P 0xcc 0 $size" a.qcow2
  qemu-io -f qcow2 -c "write -q -P 0xdd 0 $size" b.qcow2
}

# start_qemu IMAGE: at qemu.sock, or where ${address[@]} says; $qemu is its PID.
address=(-k "$PWD/qemu.sock")
start_qemu ()
{
  rm -f qemu.sock qemu.pid
  qemu-nbd -r -f qcow2 -t -e 32 "${bitmaps[@]}" "${address[@]}" \
    --pid-file="$PWD/qemu.pid" "$1" &
  qemu=$!
  pids+=("$qemu")
  wait_until 10 test -s qemu.pid
}
