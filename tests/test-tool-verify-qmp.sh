#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# As test-tool-verify-live.sh, of a QEMU that runs without libvirt.
lab_of=qmp
. "$(dirname "$0")/test-tool-verify-live.sh"
