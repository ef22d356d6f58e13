#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# nbdkit is killed when a connection is about to ask QEMU for an export, and when it
# has just got it and nbdkit does not know yet: as it starts, and as a client comes.
# A guest whose disk has an iothread lives.  (QEMU 7.2 dies where the second is
# closed before the job has ended, and hangs where the first is not.)
. "$(dirname "$0")/libvirt-lab.sh"
. "$srcdir/tests/killed-connecting.sh"

lab_start
guest_disk disk.qcow2
guest_disk other.qcow2
guest=guest
guest_iothread=virtio guest_define guest disk.qcow2 other.qcow2
guest_start guest
virsh resume guest

killed_while_connecting
