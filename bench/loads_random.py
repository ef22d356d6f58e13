# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Loads in which a client reads at random places of a server that is far away:
# nothing can be read ahead, so all that helps is to have its reads under way at
# once.
import itertools

import loads_far
from measure import Way, load

SIZES = {4096: "4 KiB", 65536: "64 KiB"}
IN_FLIGHT = 1, 16, 64
CONNECTIONS = 1, 4
THREADS = 64                    # nbdkit has 16 for each connection if not told
PLOTTED = 65536, 16, 1
titles = {"far-random": ("Random reads, 64 KiB, 16 in flight",
                         "round trip, ms", "µs a read")}


def label(size, in_flight, connections):
    return "%s × %d" % (SIZES[size], in_flight) \
        + ("" if connections == 1 else ", %d connections" % connections)


CASES = {label(*case): case
         for case in itertools.product(SIZES, IN_FLIGHT, CONNECTIONS)}


def seconds(milliseconds):
    """Enough for 100 round trips, so that the first ones, in which we ask what
    is dirty, do not decide."""
    return max(0.5, milliseconds / 10)


def reading(lab, server, milliseconds, case, name):
    """Takes a time, not a number of reads, as ways differ by more than ten."""
    size, in_flight, connections = CASES[case]
    seeds = itertools.count(1)

    def run():
        took, reads = lab.run(
            lab.random_client, "-k", "-s", str(size), "-f", str(in_flight),
            "-c", str(connections), "-t", str(seconds(milliseconds)),
            "-n", str(1 << 40), "-r", str(next(seeds)), server.uri()).split()
        return float(took) / int(reads) * 1e6
    return Way(run, ours=case + ": ours",
               point=("far-random", name, milliseconds)
               if CASES[case] == PLOTTED else None)


def reads(milliseconds):
    def build(lab):
        servers = loads_far.far_servers(lab, milliseconds)
        more_threads = "ours, nbdkit --threads=%d" % THREADS
        servers[more_threads] = loads_far.ours(
            lab, servers["direct"], options=["--threads=%d" % THREADS])
        return {"%s: %s" % (case, name): reading(
                    lab, servers[name], milliseconds, case, name)
                for case in CASES for name in servers
                if name != more_threads or CASES[case][1] == THREADS}
    return build


def targets(milliseconds):
    """With more in flight than nbdkit has threads, these are the limit where
    each waits for a round trip."""
    return [(case + ": ours", case + ": direct",
             1.3 if milliseconds == 0 else 1.15)
            for case, (_, in_flight, _) in CASES.items()
            if milliseconds == 0 or in_flight <= 16]


for way in loads_far.ROUND_TRIPS:
    load("random-%d" % way, "256 MiB, all dirty, %s: random reads × so many "
         "in flight on each connection" % loads_far.away(way), unit="µs a read",
         targets=targets(way), images=["far"])(reads(way))
