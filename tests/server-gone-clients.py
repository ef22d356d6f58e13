# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The clients of a server that is lost, for test-server-gone-*.sh.
#
#   server-gone-clients.py SOCKET VICTIM
#
# VICTIM is the process to kill when all is well, or 0 if it is lost already.
# Ends with 0 if whatever is asked fails with EIO, 1 if something did not, 2
# if no client was let in at all.

import errno, nbd, os, signal, sys, threading, time
from clients import connected

SOCKET, VICTIM = sys.argv[1], int(sys.argv[2])
MiB = 1024 * 1024
wrong = []

def status(h, offset):
    got = []
    h.block_status(MiB, offset, lambda c, o, entries, e: got.extend(entries))
    return got

def check_eio(what, call, *args):
    try:
        call(*args)
        wrong.append("%s: no error" % what)
    except Exception as e:
        if getattr(e, "errnum", None) != errno.EIO:
            wrong.append("%s: %s" % (what, e))

def requests(h):
    for i in range(10):
        check_eio("read of dirty", h.pread, 4096, i * 4096)
        check_eio("read of clean", h.pread, 65536, 9 * 1024 * MiB)
        check_eio("extents of what is not known yet", status, h,
                  9 * 1024 * MiB)
        check_eio("extents of what was known", status, h, i * MiB)

clients = []
for _ in range(4):
    try:
        clients.append(connected(SOCKET))
    except nbd.Error:
        if VICTIM:
            raise
if VICTIM:
    for h in clients:
        assert h.pread(4, 0) == b"\1\1\1\1"
        assert status(h, 0) == [MiB, 0], status(h, 0)
        assert status(h, 4 * MiB) in ([MiB, 1], [MiB, 3])
    os.kill(VICTIM, signal.SIGKILL)
    # It holds its files until its last thread has ended, a moment later.
    deadline = time.monotonic() + 5
    try:
        while time.monotonic() < deadline:
            clients[0].pread(4096, 0)
    except nbd.Error:
        pass
    check_eio("the first read", clients[0].pread, 4096, 0)
threads = [threading.Thread(target=requests, args=(h,)) for h in clients]
for t in threads:
    t.start()
for t in threads:
    t.join()
# One who comes later is refused, or fares no better.
try:
    clients.append(connected(SOCKET))
except nbd.Error:
    pass
else:
    requests(clients[-1])
for line in sorted(set(wrong)):
    print(line, wrong.count(line), "times")
sys.exit(1 if wrong else 0 if clients else 2)
