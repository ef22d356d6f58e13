# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A narrow way from a server, for test-slow-server.sh: what it sends, on all
# connections together, takes its time.
#
#   slow-relay.py LISTEN SERVER BYTES-PER-SECOND

import socket, sys, threading, time
from carrying import carry_both_ways

LISTEN, SERVER, RATE = sys.argv[1], sys.argv[2], float(sys.argv[3])
lock, free = threading.Lock(), 0


def narrow(count):
    global free
    with lock:
        free = max(free, time.monotonic()) + count / RATE
        until = free
    time.sleep(max(0, until - time.monotonic()))


listener = socket.socket(socket.AF_UNIX)
listener.bind(LISTEN)
listener.listen(16)
while True:
    client = listener.accept()[0]
    server = socket.socket(socket.AF_UNIX)
    server.connect(SERVER)
    carry_both_ways(client, server, narrow)
