# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Reads in random orders, several under way at once, each compared byte by byte,
# for test-read-orders.sh.
#
#   read-orders.py SOCKET TRUTH SEED ORDERS
#
# TRUTH is a raw file of the same bytes.

import os, random, sys
import nbd
from clients import knowing, run_clients

SOCKET, TRUTH, SEED, ORDERS = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
CLIENTS = 6
truth = os.open(TRUTH, os.O_RDONLY)
size = os.fstat(truth).st_size
wrong = []

def steps(rng):
    """In one direction, with gaps, or both ways, from anywhere."""
    length = rng.choice([512, 4096, 65536, 65536, 200000])
    stride = rng.choice([length, length, length, 2 * length, 3 * length // 2])
    at = rng.randrange(size)
    for _ in range(rng.randrange(8, 24)):
        yield at % size, length
        at += stride
        if rng.random() < 0.05:
            at = rng.randrange(size)

def in_some_order(rng):
    reads = [(at, min(length, size - at)) for at, length in steps(rng)]
    how = rng.choice(["as they are", "as they are", "nearly", "back", "any"])
    if how == "nearly":
        for i in range(0, len(reads), 5):
            part = reads[i:i + 5]
            rng.shuffle(part)
            reads[i:i + 5] = part
    elif how == "back":
        reads.reverse()
    elif how == "any":
        rng.shuffle(reads)
    return reads

def finish(h, waiting, most):
    while len(waiting) > most:
        h.poll(-1)
        for request in waiting[:]:
            cookie, buffer, at = request
            if not h.aio_command_completed(cookie):
                continue
            waiting.remove(request)
            if bytes(buffer.to_bytearray()) \
                    != os.pread(truth, buffer.size(), at):
                wrong.append("other bytes at %d, %d" % (at, buffer.size()))

def work(client):
    try:
        h = knowing(SOCKET, size)
        for order in range(client, ORDERS, CLIENTS):
            rng = random.Random(SEED * 100000 + order)
            at_once = rng.choice([1, 1, 2, 5, 16, 40])
            waiting = []
            for offset, length in in_some_order(rng):
                buffer = nbd.Buffer(length)
                waiting.append((h.aio_pread(buffer, offset), buffer, offset))
                finish(h, waiting, at_once - 1)
            finish(h, waiting, 0)
            if wrong:
                wrong.append("in order %d" % order)
                break
        h.shutdown()
    except Exception as e:
        wrong.append("client %d: %r" % (client, e))

run_clients(work, CLIENTS, wrong)
