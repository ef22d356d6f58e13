#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Another server at the same address, with another content, while one is being
# read: a copy is of the first one as a whole, or fails.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/two-servers.sh"

two_images 64M monday

# What is in the copy: nothing but $1 and, if it is partial, zeroes.
holds_only ()
{
  "$python" - "$@" <<'END'
import sys
allowed = {int(byte, 16) for byte in sys.argv[1:]}
got = set(open("copy.raw", "rb").read())
sys.exit("the copy holds %s" % sorted(map(hex, got)) if got - allowed else 0)
END
}
# copy OPTIONS…: to copy.raw.
copy ()
{
  rm -f copy.raw
  timeout 60 nbdcopy "$@" --request-size=65536 \
    "nbd+unix:///?socket=$PWD/server.sock" copy.raw
}

start_qemu a.qcow2
start_nbdkit server.sock "uri=nbd+unix:///?socket=$PWD/qemu.sock"
first=$qemu
start_qemu b.qcow2
# The second one is there, and is another.
nbdcopy "nbd+unix:///?socket=$PWD/qemu.sock" copy.raw
holds_only dd

if copy --connections=4 --requests=64; then
  holds_only cc || fail "a mixed copy"
else
  ! [ -e copy.raw ] || holds_only cc 00 || fail "the second server was read"
  exit 0
fi

# With the first one gone, the second is no replacement.  (One request at a
# time: see the manual's BUGS.)
kill "$first"
wait "$first" || :
! copy --synchronous || fail "copied from the second server"
! [ -e copy.raw ] || holds_only 00 || fail "the second server was read"
cat nbdkit.log
kill "$nbdkit_pid"
wait "$nbdkit_pid" || fail "nbdkit ended badly"
