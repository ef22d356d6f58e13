#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Another server took the name of the one that is read, which lives on: what is
# opened from then on is of the first one as well, or fails.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/two-servers.sh"

two_images 16M b0 b1

cat >client.py <<'END'
import nbd, sys

def read(name):
    h = nbd.NBD()
    h.set_export_name(name)
    h.connect_unix("ours.sock")
    return bytes(h.pread(1, 0))

for name in sys.argv[1:]:
    try:
        if read(name) != b"\xcc":
            sys.exit(name + " is the second server's")
    except nbd.Error as error:
        print(name, "is refused:", error)
END

# opened ARGS…: so many exports of the first server were opened before.
for opened in '' vda@b0 'vda@b0 vda@b1'; do
  start_qemu a.qcow2
  start_nbdkit ours.sock "uri=nbd+unix:///?socket=$PWD/qemu.sock"
  # shellcheck disable=SC2086
  "$python" client.py $opened
  start_qemu b.qcow2
  nbdsh -u "nbd+unix:///?socket=$PWD/qemu.sock" \
    -c 'assert h.pread(1, 0) == b"\xdd"'
  "$python" client.py vda@b1 vda@b0 vda@b1 \
    || fail "the second server is read, after '$opened'"
  stop_nbdkit
  # Where all were open before, nobody connects again.
  [ "$opened" = "vda@b0 vda@b1" ] \
    || grep -q 'another server has taken the socket' nbdkit.log \
    || fail "no reason: $(cat nbdkit.log)"
  rm nbdkit.log
done
