#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# As test-run-command.sh, with libvirt=: of a guest that runs there are the
# keeper's sockets and the connections to QEMU, of one that is off all that
# file= has, and neither reaches the command.
. "$(dirname "$0")/libvirt-lab.sh"

lab_with_guest

inherits_nothing libvirt="$connect" domain=web1
inherits_nothing libvirt="$connect" domain=web1 checkpoint=monday
guest_destroy web1
inherits_nothing libvirt="$connect" domain=web1 checkpoint=monday
