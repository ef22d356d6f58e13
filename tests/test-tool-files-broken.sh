#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# files looks into what guests wrote, which may be broken in any way: it ends well,
# and its sum is right.  SEED and COUNT may be given.
. "$(dirname "$0")/functions.sh"
PATH=$PATH:/usr/sbin:/sbin
for program in mke2fs sfdisk; do requires "$program"; done

"$python" "$srcdir/tests/broken-files.py" "$tool" "${COUNT:-6}" ${SEED:-}
