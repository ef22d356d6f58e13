#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# uri=nbds: where nbdkit is so late, as on a busy host, that the server has
# answered each time: libnbd comes to TLS within one call, and a server that is
# silent there is given up in bounded time, and a wrong certificate refused.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/rogue-certificates.sh"
export PYTHONPATH=$srcdir/tests sanitizers LATE=$tmpdir/late
touch "$LATE.recv"
NBDKIT_PRELOAD=$(realpath "$builddir")/tests/.libs/late-ready.so
export NBDKIT_PRELOAD

for only in 'is silent' 'certificate elsewhere' 'certificate stranger' \
    'correct (TLS)'; do
  ONLY=$only bounded "$python" "$srcdir/tests/rogue-cases.py" "$plugin" tls
done
