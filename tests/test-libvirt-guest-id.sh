#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A running guest may be named by its ID, as for virsh; where that is another
# guest's name, neither is guessed.
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
virsh checkpoint-create-as "$(virsh domuuid web1)" tuesday
refuses "$id is the name of one guest on $connect and the ID of another, web1; " \
  libvirt="$connect" domain="$id" checkpoint=monday
printed 'for the one of that name, start with ' ', and'
virsh checkpoint-create-as "${printed#domain=}" monday
serve libvirt="$connect" "$printed" checkpoint=monday -- \
  'nbdinfo --size "$uri"' | grep -qx $((9 << 20)) || fail "not the one of that name"
printed ', and for the other with '
serve libvirt="$connect" "$printed" checkpoint=monday -- \
  'nbdinfo --size "$uri"' | grep -qx $((8 << 20)) || fail "not the other"
