# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# For tests: clients of a server that tells base:allocation.

import sys
import threading

import nbd


def connected(socket):
    h = nbd.NBD()
    h.add_meta_context("base:allocation")
    h.connect_unix(socket)
    return h


def knowing(socket, size):
    """A client that has made the server read the map up to there."""
    h = connected(socket)
    h.block_status(size, 0, lambda *args: 0)
    return h


def run_clients(work, count, wrong):
    """Calls work with each number below count, all at once; ends in failure
    with what they have added to wrong."""
    threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        sys.exit("\n".join(wrong[:10]))
