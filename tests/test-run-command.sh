#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The command of --run may be anybody's, or have given up root: it gets no
# descriptor of ours, such as the storage daemon's monitor, through which it
# could have any file opened that the daemon's user may open.
. "$(dirname "$0")/functions.sh"

guest_disk base.qcow2
qemu-img bitmap --add base.qcow2 monday
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 disk.qcow2
qemu-img bitmap --add disk.qcow2 monday

inherits_nothing disk.qcow2
inherits_nothing disk.qcow2 checkpoint=monday
inherits_nothing vda:disk.qcow2 vdb:base.qcow2 view=guard

qemu-nbd -r -f qcow2 -t -e 20 -k "$PWD/qemu.sock" -B monday base.qcow2 &
pids+=($!)
wait_until 10 listens qemu.sock
inherits_nothing uri="nbd+unix:///?socket=$PWD/qemu.sock" checkpoint=monday
