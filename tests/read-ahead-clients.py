# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Clients that read in all kinds of order, for test-read-ahead.sh.
#
#   read-ahead-clients.py SOCKET TRUTH SEED
#
# TRUTH is a raw file of the same bytes.

import os, random, sys
import nbd
from clients import connected, run_clients

SOCKET, TRUTH = sys.argv[1], sys.argv[2]
SEED = int(sys.argv[3])
truth = os.open(TRUTH, os.O_RDONLY)
size = os.fstat(truth).st_size
wrong = []

def dirty_runs(h):
    runs, offset = [], 0
    def extents(context, at, entries, error):
        nonlocal offset
        for length, flags in zip(entries[::2], entries[1::2]):
            if flags == 0:
                runs.append((offset, length))
            offset += length
    while offset < size:
        h.block_status(size - offset, offset, extents)
    return runs

def check(h, offset, length):
    if bytes(h.pread(length, offset)) != os.pread(truth, length, offset):
        wrong.append("other bytes at %d, %d" % (offset, length))

def in_order(h, runs, rng):
    step = rng.choice([4096, 65536, 100000, 262144, 1 << 20])
    for offset, length in runs:
        for at in range(offset, offset + length, step):
            check(h, at, min(step, offset + length - at))

def nearly_in_order(h, runs, rng):
    """As a client with several requests under way, some of them skipped."""
    order = list(range(len(runs)))
    for i in range(0, len(order), 6):
        part = order[i:i + 6]
        rng.shuffle(part)
        order[i:i + 6] = part
    for i in order:
        if rng.random() < 0.9:
            check(h, *runs[i])

def backwards(h, runs, rng):
    for offset, length in reversed(runs):
        check(h, offset, length)

def anywhere(h, runs, rng):
    for _ in range(100):
        offset = rng.randrange(size)
        check(h, offset, rng.randrange(1, min(size - offset, 1 << 20) + 1))

def asynchronous(h, runs, rng):
    waiting = []
    for offset, length in runs:
        if length <= 1 << 20:
            buffer = nbd.Buffer(length)
            waiting.append((h.aio_pread(buffer, offset), buffer, offset))
        while waiting and (len(waiting) >= 40 or offset == runs[-1][0]):
            h.poll(-1)
            for request in waiting[:]:
                cookie, buffer, at = request
                if h.aio_command_completed(cookie):
                    waiting.remove(request)
                    if bytes(buffer.to_bytearray()) \
                            != os.pread(truth, buffer.size(), at):
                        wrong.append("other bytes at %d" % at)

def work(number):
    try:
        rng = random.Random(SEED * 100 + number)
        h = connected(SOCKET)
        runs = dirty_runs(h)
        for _ in range(3):
            start = rng.randrange(len(runs))
            rng.choice([in_order, in_order, nearly_in_order, backwards,
                        anywhere, asynchronous])(h, runs[start:], rng)
        h.shutdown()
    except Exception as e:
        wrong.append("client %d: %r" % (number, e))

run_clients(work, 8, wrong)
