#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Once a server is lost, it is lost for all exports: another one that came under
# its name is not read, by whatever export it is asked for.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/two-servers.sh"

two_images 16M b0 b1
stop_qemu () { kill -KILL "$qemu"; wait "$qemu" 2>/dev/null || :; }

cat >client.py <<'END'
import nbd, sys

def opened(name):
    h = nbd.NBD()
    h.add_meta_context("base:allocation")
    h.set_export_name(name)
    h.connect_unix("server.sock")
    return h

def fails(what, call):
    try:
        got = call()
    except nbd.Error:
        return
    sys.exit("%s: %s" % (what, got[:1] if isinstance(got, bytearray) else got))

def turn():
    print("turn", flush=True)
    sys.stdin.readline()

idle = sys.argv[1] == "idle"
first = opened("vda@b0")
assert first.pread(512, 0) == b"\xcc" * 512
turn()
if not idle:
    fails("b0", lambda: first.pread(512, 65536))
fails("b1", lambda: opened("vda@b1").pread(512, 0))
fails("whole", lambda: opened("vda@b1").block_status(65536, 0, lambda *x: 0))
fails("b0", lambda: first.pread(512, 1 << 20))
fails("b0 again", lambda: opened("vda@b0").pread(512, 0))
END

try ()
{
  : >nbdkit.log
  start_qemu a.qcow2
  start_nbdkit server.sock "$uri"
  coproc bounded "$python" client.py "$1"
  read -r turn <&"${COPROC[0]}"
  [ "$turn" = turn ] || fail "the first server is not read"
  stop_qemu
  start_qemu b.qcow2
  nbdinfo "${uri#uri=}" >/dev/null
  client=$COPROC_PID
  echo >&"${COPROC[1]}"
  wait "$client" || fail "$1: the second server was read: $(cat nbdkit.log)"
  ! nbdinfo --list "nbd+unix:///?socket=$PWD/server.sock" >list 2>&1 \
    || ! grep 'bytes dirty' list || fail "the second server is listed"
  says_once_lost 'lost the server: '
  stop_qemu
}
uri=uri=nbd+unix:///?socket=$PWD/qemu.sock
try busy
try idle
port=$(free_ports)
address=(-b 127.0.0.1 -p "$port") uri=uri=nbd://127.0.0.1:$port
try idle
