#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A running guest may be named by its ID; where that is a guest's name, the name
# is meant.
. "$(dirname "$0")/libvirt-lab.sh"

guest_disk vda.qcow2 8M
guest_disk vdb.qcow2 9M
lab_start
guest_define web1 vda.qcow2
guest_start web1
virsh checkpoint-create-as web1 monday
id=$(virsh domid web1)
serve libvirt="$connect" domain="$id" checkpoint=monday -- \
  'nbdinfo --size "$uri"' | grep -qx $((8 << 20)) || fail "another guest"
refuses "there is no guest 4711 on .*; there are: web1" \
  libvirt="$connect" domain=4711

# A guest whose name is the other's ID.
guest_define "$id" vdb.qcow2
guest_start "$id"
uuid=$(virsh list --uuid --name | awk -v name="$id" '$2 == name { print $1 }')
virsh checkpoint-create-as "$uuid" monday || fail "no checkpoint of the guest of that name"
serve libvirt="$connect" domain="$id" checkpoint=monday -- \
  'nbdinfo --size "$uri"' | grep -qx $((9 << 20)) || fail "not the one of that name"
