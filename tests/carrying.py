# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# For tests: what relays between clients and servers do.

import socket
import threading


def carry(source, to, wait):
    try:
        while data := source.recv(65536):
            wait(len(data))
            to.sendall(data)
    except OSError:
        pass
    for end in source, to:
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def carry_both_ways(client, server, wait=lambda count: None):
    """Until either leaves.  wait: for so many bytes that the server sends."""
    for way in (client, server, lambda count: None), (server, client, wait):
        threading.Thread(target=carry, args=way, daemon=True).start()
