#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Usage: far-link.py MILLISECONDS PID
# A link between this network namespace, as 10.99.0.1, and that of a process, as
# 10.99.0.2, on which a round trip takes so long.  Runs until it is ended.
import ctypes
import fcntl
import os
import select
import struct
import subprocess
import sys
import time
from collections import deque

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454ca, 1, 0x1000
DEVICE, MTU = "far0", 60000


def make_end(address, peer):
    """Of the namespace that we are in."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack(
        "16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
    for words in (["addr", "add", address, "peer", peer, "dev", DEVICE],
                  ["link", "set", DEVICE, "mtu", str(MTU), "qlen", "10000"],
                  ["link", "set", DEVICE, "up"]):
        subprocess.run(["busybox", "ip"] + words, check=True)
    return fd


def enter(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/%s/ns/net" % pid) as namespace:
        if libc.setns(namespace.fileno(), 0):
            raise OSError(ctypes.get_errno(), "setns")


def receive(fd, queue, delay):
    try:
        while True:
            queue.append((time.monotonic() + delay, os.read(fd, MTU + 64)))
    except BlockingIOError:
        pass


def pass_on(queue, fd):
    while queue and queue[0][0] <= time.monotonic():
        os.write(fd, queue.popleft()[1])


def main(milliseconds, pid):
    delay = float(milliseconds) / 2000
    near = make_end("10.99.0.1", "10.99.0.2")
    enter(pid)
    far = make_end("10.99.0.2", "10.99.0.1")
    ways = {near: (deque(), far), far: (deque(), near)}
    print("ready", flush=True)
    while True:
        due = [queue[0][0] for queue, _ in ways.values() if queue]
        wait = max(0, min(due) - time.monotonic()) if due else None
        for fd in select.select(list(ways), [], [], wait)[0]:
            receive(fd, ways[fd][0], delay)
        for queue, fd in ways.values():
            pass_on(queue, fd)


main(*sys.argv[1:])
