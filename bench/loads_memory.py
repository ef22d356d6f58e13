# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Memory that clients cost at a server far away, where much must be under
# way.
import subprocess
import time

import loads_far
from lab import KILLED_WITH_US, LIMIT
from measure import Way, Wrong, load

CLIENTS = 8
MILLISECONDS = 20
GIVEN_BACK = 3                  # seconds that an idle server has for it
MOST = 3                        # a run takes 15 s


def at_once(lab, command):
    running = [subprocess.Popen(KILLED_WITH_US + command, cwd=lab.tmp,
                                stdin=subprocess.DEVNULL)
               for _ in range(CLIENTS)]
    try:
        if any([process.wait(LIMIT) for process in running]):
            raise Wrong("%s failed" % command[0])
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
                process.wait()


def measured(lab, start, client, left):
    """MiB at most, more than the server takes without clients.  left gets what
    it still takes when they have gone."""
    def run():
        with lab.servers():
            server = start()
            server.forget_peak()
            idle = server.rss()
            at_once(lab, loads_far.CLIENTS[client](server.uri()))
            peak = server.peak_rss()
            time.sleep(GIVEN_BACK)
            left.append(server.rss() - idle)
            return peak - idle
    return run


@load("memory-%d" % MILLISECONDS, "%d clients at once read 256 MiB, all dirty, "
      "%s: memory at most, over an idle server; and %d seconds after them"
      % (CLIENTS, loads_far.away(MILLISECONDS), GIVEN_BACK), unit="MiB",
      targets=[("nbdcopy, one connection: ours", None, 64)], images=["far"])
def memory(lab):
    server = loads_far.far_server(lab, MILLISECONDS)
    ways = {}
    for client in loads_far.CLIENTS:
        for name, start in loads_far.starts(lab, server).items():
            own = "%s: %s" % (client, name)
            left = Way(None, most=0, ours=client + ": ours, left")
            ways[own] = Way(measured(lab, start, client, left.samples),
                            most=MOST, ours=client + ": ours")
            ways[own + ", left"] = left
    return ways
