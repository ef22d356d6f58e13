#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# As test-libvirt-exits.sh, with qmp=: however the server ends, all that it made in
# QEMU, and socket and scratch files, end with it.
lab_of=qmp
. "$(dirname "$0")/test-libvirt-exits.sh"
