#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# When the server behind uri= is lost, every read and every block status fails
# with EIO, the log says why once, and nbdkit goes on and ends in an orderly
# way; also when it is lost before the first client comes.
. "$(dirname "$0")/functions.sh"

mkdir tmp
export TMPDIR=$PWD/tmp

qemu-img create -q -f qcow2 disk.qcow2 16G
qemu-img bitmap --add disk.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 1 0 1M' disk.qcow2

cat >clients.py <<'END'
import errno, nbd, os, signal, sys, threading

SOCKET, VICTIM, REFUSABLE = sys.argv[1], int(sys.argv[2]), len(sys.argv) > 3
MiB = 1024 * 1024
wrong = []

def client():
    h = nbd.NBD()
    h.add_meta_context("base:allocation")
    h.connect_unix(SOCKET)
    return h

def status(h, offset):
    got = []
    h.block_status(MiB, offset, lambda c, o, entries, e: got.extend(entries))
    return got

def check_eio(what, call, *args):
    try:
        call(*args)
        wrong.append("%s: no error" % what)
    except nbd.Error as e:
        if e.errnum != errno.EIO:
            wrong.append("%s: %s" % (what, e))

def requests(h):
    for i in range(10):
        check_eio("read of dirty", h.pread, 4096, i * 4096)
        check_eio("read of clean", h.pread, 65536, 9 * 1024 * MiB)
        check_eio("extents of what is not known yet", status, h,
                  9 * 1024 * MiB)
        check_eio("extents of what was known", status, h, i * MiB)

clients = [client() for _ in range(4)]
if VICTIM:
    for h in clients:
        assert h.pread(4, 0) == b"\1\1\1\1"
        assert status(h, 0) == [MiB, 0], status(h, 0)
        assert status(h, 4 * MiB) == [MiB, 1]
    os.kill(VICTIM, signal.SIGKILL)
    check_eio("the first read", clients[0].pread, 4096, 0)
threads = [threading.Thread(target=requests, args=(h,)) for h in clients]
for t in threads: t.start()
for t in threads: t.join()
# One who comes later is refused, or fares no better.
try:
    clients.append(client())
except nbd.Error:
    pass
else:
    requests(clients[-1])
for line in sorted(set(wrong)):
    print(line, wrong.count(line), "times")
sys.exit(1 if wrong else 0)
END

for when in serving before; do
  qemu-nbd -r -f qcow2 -t -e 16 -B monday -k "$PWD/qemu.sock" disk.qcow2 &
  victim=$!
  pids+=("$victim")
  wait_until 10 test -S qemu.sock
  rm -f nbdkit.log
  start_nbdkit server.sock "uri=nbd+unix:///?socket=$PWD/qemu.sock"
  if [ $when = before ]; then
    kill -9 "$victim"
    # One client may be let in, as the first connection was made, or none.
    timeout 60 "$python" clients.py server.sock 0 2>refused || :
    if [ -s refused ]; then
      grep -q 'nbd.Error' refused || fail "$(cat refused)"
    fi
  else
    timeout 60 "$python" clients.py server.sock "$victim" \
      || fail "see above"
  fi
  wait "$victim" 2>/dev/null || :
  rm -f qemu.sock
  cat nbdkit.log
  [ "$(grep -c 'lost the server\|qemu.sock.*connect\|Connection refused' nbdkit.log)" -eq 1 ] \
    || fail "the log does not say once that the server is lost"
  kill -0 "$nbdkit_pid" || fail "nbdkit ended"
  kill "$nbdkit_pid"
  wait "$nbdkit_pid" || fail "nbdkit ended badly"
done
[ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
