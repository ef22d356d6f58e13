#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
#   line-relay.py SOCKET TARGET LOG [WORD…]
#
# Stands between a client and a QEMU's socket, and logs what clients say, line by
# line.  A line with WORD in it is held: the file SOCKET.held tells, until there is
# SOCKET.go, and it is passed on, or SOCKET.drop, or the client is gone, and it is
# not.  One line only: of several WORDs, the last after all others were there.

import os
import select
import socket
import sys

here, target, log_name = sys.argv[1:4]
words = [word.encode() for word in sys.argv[4:]]
log = open(log_name, "a", buffering=1)


def gone(client):
    poll = select.poll()
    poll.register(client, select.POLLRDHUP)
    return poll.poll(0)


def hold(client):
    open(here + ".held", "w").close()
    while not os.path.exists(here + ".go"):
        if os.path.exists(here + ".drop") or gone(client):
            return False
        select.select([], [], [], 0.05)
    return True


def pass_lines(client, server, pending):
    *lines, pending = pending.split(b"\n")
    for line in lines:
        log.write(line.decode(errors="replace") + "\n")
        if words and words[0] in line:
            words.pop(0)
            if not words and not hold(client):
                continue
        server.sendall(line + b"\n")
    return pending


def serve(client, server):
    pending = b""
    while True:
        ready, _, _ = select.select([client, server], [], [])
        if server in ready:
            data = server.recv(65536)
            if not data:
                return
            client.sendall(data)
        if client in ready:
            data = client.recv(65536)
            if not data:
                return
            pending = pass_lines(client, server, pending + data)


listener = socket.socket(socket.AF_UNIX)
listener.bind(here)
listener.listen(1)
while True:
    client, _ = listener.accept()
    server = socket.socket(socket.AF_UNIX)
    server.connect(target)
    try:
        serve(client, server)
    except OSError:
        pass
    client.close()
    server.close()
    log.write("closed\n")
