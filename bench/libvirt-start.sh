#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# What libvirt= costs over "virsh backup-begin" alone, medians of ROUNDS (20)
# in one run, with a real libvirtd and a real QEMU.
. "${srcdir:-$(dirname "$0")/..}/tests/libvirt-lab.sh"

guest_disk vda.qcow2
guest_disk vdb.qcow2
lab_start
guest_define web1 vda.qcow2 vdb.qcow2
guest_start web1
virsh checkpoint-create-as web1 monday
guest_write web1 vda "write -P 2 1M 64k"
"$python" "$srcdir/bench/libvirt-start.py" "${ROUNDS:-20}" "$plugin" \
  "$connect" web1 monday vda
