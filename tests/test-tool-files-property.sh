#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# files, of random ext2, ext3 and ext4 in partitions and volumes of LVM, with
# journals that must be replayed, against debugfs.  SEED and COUNT may be given.
. "$(dirname "$0")/functions.sh"
PATH=$PATH:/usr/sbin:/sbin
for program in mke2fs debugfs dumpe2fs e2fsck sfdisk; do requires "$program"; done
if ! ldd "$tool" | grep libext2fs >/dev/null; then skip "built without libext2fs"; fi

"$python" "$srcdir/tests/property-files.py" "$tool" "${COUNT:-20}" ${SEED:-}
