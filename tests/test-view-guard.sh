#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# view=guard fails a reader that strays from the dirty blocks, says where,
# and passes one that does not.
. "$(dirname "$0")/functions.sh"

guest_disk disk.qcow2
qemu-img bitmap --add disk.qcow2 monday
cp disk.qcow2 monday.qcow2
qemu-io -f qcow2 -c 'write -q -P 2 1M 128k' -c 'write -q -z 2M 64k' disk.qcow2

serve disk.qcow2 checkpoint=monday view=guard -- '
  qemu-img convert -f raw -B monday.qcow2 -F qcow2 -O qcow2 "$uri" inc.qcow2'
qemu-img compare -f qcow2 -F qcow2 disk.qcow2 inc.qcow2

if serve disk.qcow2 checkpoint=monday view=guard -- \
  'nbdcopy "$uri" null:' 2>log; then
  fail "a copy of everything was let through"
fi
cat log
grep -q 'view=guard: disk vda: .* which are not all dirty' log \
  || fail "the log does not say who strayed"

serve disk.qcow2 checkpoint=monday view=guard -- '"$python" - "$uri"' \
  2>log <<'EOF'
import errno, nbd, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
M = 1 << 20
def refused(count, offset):
    try:
        h.pread(count, offset)
    except nbd.Error as error:
        assert error.errnum == errno.EIO, error
        return True
    return False
assert h.pread(128 * 1024, M) == b"\2" * 128 * 1024
assert h.pread(64 * 1024, 2 * M) == bytes(64 * 1024)
assert refused(1, 0) and refused(1, M - 1) and refused(1, M + 131072)
assert refused(131073, M) and refused(512, h.get_size() - 512)
assert not refused(1, M) and not refused(1, M + 131071)
EOF
