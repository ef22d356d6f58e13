#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# As test-libvirt-scratch.sh, with qmp=: scratch files that fill their place are warned of before it is full.
lab_of=qmp
. "$(dirname "$0")/test-libvirt-scratch.sh"
