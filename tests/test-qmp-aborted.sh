#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# As test-libvirt-aborted.sh, with qmp=: another client ends our job while clients read
# what the guest overwrites.  SEED=n ROUNDS=m repeat and size a run.
lab_of=qmp
most=25
. "$(dirname "$0")/test-libvirt-aborted.sh"
