#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# After a backup that failed, "qemu-checkpoint info" tells scripts whether the new
# checkpoint exists: in a QEMU without libvirt.
. "$(dirname "$0")/qmp-lab.sh"
. "$srcdir/tests/create-outcome.sh"

lab_with_guest
outcomes --qmp=web1.sock
guest_crash web1
outcome 2
