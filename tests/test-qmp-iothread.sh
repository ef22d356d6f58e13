#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# As test-libvirt-iothread.sh, with qmp=: a guest whose disks have an iothread, through backups of every ending.
lab_of=qmp
. "$(dirname "$0")/test-libvirt-iothread.sh"
