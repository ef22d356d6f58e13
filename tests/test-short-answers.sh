#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A server that sends less than was asked for, and says that it is all, or takes
# back what it sent: whoever reads that gets an error, and never other bytes,
# whether or not it was read ahead.
. "$(dirname "$0")/functions.sh"
export PYTHONPATH=$srcdir/tests

"$python" "$srcdir/tests/short-answers-server.py" upstream.sock \
  $((16 << 20)) $((8 << 20)) &
pids+=($!)
wait_until 10 test -S upstream.sock
start_nbdkit server.sock "uri=nbd+unix:///?socket=$PWD/upstream.sock" \
  checkpoint=monday view=sparse

cat >read.py <<'EOF'
import errno, nbd
from clients import knowing
h = knowing("server.sock", 16 << 20)
for block in range(256):
    try:
        data = h.pread(65536, block * 65536)
        assert data == bytearray([block % 255 + 1]) * 65536, block
        assert block < 128, block
    except nbd.Error as e:
        # libnbd 1.14 makes EIO of it, libnbd 1.22 what NBD has no number for.
        assert block >= 128 and e.errnum in (errno.EIO, errno.EINVAL), \
            (block, e)
EOF
bounded "$python" read.py || fail "other bytes than the server has"
grep -q 'the server fails the read at 8388608' nbdkit.log \
  || fail "the log does not tell of it"
stop_nbdkit
leaves_nothing
