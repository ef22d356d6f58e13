# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# How long QEMU's main thread is busy with something else: asks a monitor of
# its own (people's kind) again and again until FILE is there, and prints the
# longest time that an answer took, in milliseconds.
#
#   monitor-latency.py SOCKET FILE

import os
import socket
import sys
import time

LIMIT = 60


def receive_prompt(monitor):
    text = b""
    while not text.endswith(b"(qemu) "):
        more = monitor.recv(65536)
        if not more:
            sys.exit("QEMU has closed its monitor")
        text += more


def main():
    path, end = sys.argv[1:]
    monitor = socket.socket(socket.AF_UNIX)
    monitor.settimeout(LIMIT)
    monitor.connect(path)
    receive_prompt(monitor)
    open(end + ".begun", "w").close()
    longest = 0
    while not os.path.exists(end):
        began = time.monotonic()
        monitor.sendall(b"info status\n")
        receive_prompt(monitor)
        longest = max(longest, time.monotonic() - began)
        time.sleep(0.005)
    print("%.0f" % (longest * 1000))


main()
