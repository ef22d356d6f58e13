#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The rules for names and documents of checkpoints that are made known are libvirt's: what
# virsh takes, qemu-checkpoint redefine takes, at libvirt and without it; and what
# that refuses, it refuses.
. "$(dirname "$0")/libvirt-lab.sh"
rules_of=redefine
. "$srcdir/tests/xml-rules.sh"
