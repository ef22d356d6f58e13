#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# view=overlay: clean is a hole that is not zero, dirty zeroes are told from
# dirty data, and clean bytes read as what the disk holds.
. "$(dirname "$0")/functions.sh"

guest_disk disk.qcow2
qemu-img bitmap --add disk.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 2 1M 64k' -c 'write -q -z 2M 64k' \
  -c 'discard -q 3M 64k' disk.qcow2

serve disk.qcow2 checkpoint=monday -- '"$python" - "$uri"' <<'EOF'
import nbd, sys
h = nbd.NBD()
h.add_meta_context("base:allocation")
h.connect_uri(sys.argv[1])
HOLE, ZERO = nbd.STATE_HOLE, nbd.STATE_ZERO
seen = []
h.block_status(4 << 20, 0, lambda c, o, e, err: seen.extend(e))
K = 1024
assert seen == [1024*K, HOLE, 64*K, 0, 960*K, HOLE, 64*K, HOLE | ZERO,
                960*K, HOLE, 64*K, HOLE | ZERO, 960*K, HOLE], seen
assert h.pread(64*K, 0) == b"\1" * 64*K, "clean bytes are not the disk's"
assert h.pread(64*K, 1 << 20) == b"\2" * 64*K
assert h.pread(64*K, 2 << 20) == bytes(64*K)
# Across a boundary, and unaligned.
assert h.pread(1000, (1 << 20) - 500) == b"\1" * 500 + b"\2" * 500
assert h.is_read_only() and h.can_multi_conn()
try:
    h.pwrite(b"x" * 512, 0)
except nbd.Error:
    pass
else:
    sys.exit("a write was accepted")
EOF
