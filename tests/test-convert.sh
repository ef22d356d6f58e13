#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-img convert -B through the default view makes an image that is
# identical to the disk and whose clusters are exactly the bitmap's.
. "$(dirname "$0")/functions.sh"

guest_disk disk.qcow2
qemu-img bitmap --add disk.qcow2 monday
qemu-img convert -O qcow2 disk.qcow2 monday.qcow2
qemu-io -f qcow2 -c 'write -q -P 2 100k 300k' -c 'write -q -z 2M 1M' \
  -c 'discard -q 4M 128k' -c 'write -q -P 3 40M 64k' disk.qcow2
qemu-img bitmap --add disk.qcow2 tuesday
before=$(md5sum disk.qcow2)

serve disk.qcow2 checkpoint=monday -- '
  qemu-img convert -f raw -B monday.qcow2 -F qcow2 -O qcow2 "$uri" inc.qcow2'

[ "$(md5sum disk.qcow2)" = "$before" ] || fail "the disk was changed"
qemu-img compare -f qcow2 -F qcow2 disk.qcow2 inc.qcow2
allocated inc.qcow2 >got
qemu_dirty disk.qcow2 monday >want
diff -u want got || fail "other clusters than the bitmap's are allocated"
