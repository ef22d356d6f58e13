#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Usage: libvirt-far.sh ROUNDS PLUGIN MILLISECONDS; called by bench/run.
# A guest of a libvirt that is so far away: all over TCP, between two network
# namespaces.
LAB_ROOT_ONLY=1
. "${srcdir:-$(dirname "$0")/..}/tests/libvirt-lab.sh"

for disk in vda vdb vdc vdd; do
  guest_disk $disk.qcow2 1G
done
lab_libvirtd_conf+="
listen_tls = 0
listen_tcp = 1
auth_tcp = \"none\"
listen_addr = \"0.0.0.0\"
"
lab_libvirtd_options+=(--listen)
lab_start
guest_define web1 vda.qcow2 vdb.qcow2 vdc.qcow2 vdd.qcow2
guest_start web1
virsh checkpoint-create-as web1 monday
guest_write web1 vda "write -P 2 128M 64M"

unshare --net sleep 3600 &
far=$!
pids+=($far)
wait_until 10 eval '[ "$(readlink /proc/$far/ns/net)" != "$(readlink /proc/self/ns/net)" ]'
nsenter --net=/proc/$far/ns/net busybox ip link set lo up
>link
"$python" "$srcdir/bench/far-link.py" "$3" $far >>link &
pids+=($!)
wait_until 10 grep -q ready link
lab_logs () { :; }              # what libvirt-far.py says is enough
nsenter --net=/proc/$far/ns/net "$python" "$srcdir/bench/libvirt-far.py" \
  "$1" "$2" qemu+tcp://10.99.0.1/system 10.99.0.1
