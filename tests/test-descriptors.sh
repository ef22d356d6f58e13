#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A view of many parts needs more open files than the 1024 that are usual: it
# gets what the hard limit allows, and beyond, it is refused in words.
. "$(dirname "$0")/functions.sh"

qemu-img create -q -f qcow2 layer0.qcow2 1M
qemu-img bitmap --add layer0.qcow2 monday
for ((i = 1; i < 40; i++)); do
  qemu-img create -q -f qcow2 -b layer$((i - 1)).qcow2 -F qcow2 layer$i.qcow2
  qemu-img bitmap --add layer$i.qcow2 monday
done
guarded=(layer39.qcow2 checkpoint=monday view=guard)

ulimit -Sn 200
serve "${guarded[@]}" -- \
  'nbdinfo --map "nbd+unix:///vda@monday/0?socket=$unixsocket"' >map
diff -u - map <<<'         0     1048576    1  hole' || fail "not the map"

ulimit -Hn 200
refuses_export 'disk vda \(.*/layer[0-9]*.qcow2, bitmap monday\): Too many open files, .*ulimit -n NUMBER' \
  vda@monday/0 "${guarded[@]}"
