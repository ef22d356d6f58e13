# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Loads in which the map of a server that is far away is read.
import statistics
import time

import nbd

import images
import loads_far
import loads_growth
import loads_map
from measure import Way, load

SIZE = images.TiB
FIRST = "first block status, round trips: "
WHOLE = "nbdinfo: "


def whole(lab, args):
    """From our start.  nbdkit sends each extent by a system call of its own,
    which here takes longer than all else."""
    return loads_map.started(lab, args, loads_map.whole_map(lab, SIZE), most=1)


def whole_over_tls(lab, args, size=SIZE, most=None):
    """From our start, and with few system calls: see loads_map.over_tls."""
    def run():
        with lab.servers():
            start = time.monotonic()
            loads_map.whole_map(lab, size)(loads_map.over_tls(lab, args))
            return time.monotonic() - start
    return Way(run, most=most, ours=WHOLE + "ours, over TLS")


def round_trip(uri):
    """Seconds of one question and its answer: a relay's are a bit longer than
    it was told."""
    client, took = nbd.NBD(), []
    client.connect_uri(uri)
    for _ in range(9):
        start = time.monotonic()
        client.pread(512, 0)
        took.append(time.monotonic() - start)
    client.shutdown()
    return statistics.median(took)


def asked(uri, trip, context="base:allocation"):
    """Round trips from the begin of connecting until one extent is known."""
    start = time.monotonic()
    loads_growth.first_block(context)(uri)
    return (time.monotonic() - start) / trip


def first_client(lab, args, trip):
    """Of a server that nobody has asked."""
    def run():
        with lab.servers():
            return asked(lab.ours(*args).uri(), trip)
    return Way(run, ours=FIRST + "first client")


def from_start(lab, args, trip):
    def run():
        with lab.servers():
            start = time.monotonic()
            loads_growth.first_block("base:allocation")(lab.ours(*args).uri())
            return (time.monotonic() - start) / trip
    return Way(run, ours=FIRST + "from our start")


def first_ways(lab, args, server):
    trip = round_trip(server.uri())
    warm = lab.ours(*args)
    loads_growth.first_block("base:allocation")(warm.uri())
    return {
        FIRST + "first client": first_client(lab, args, trip),
        FIRST + "later client": Way(
            lambda: asked(warm.uri(), trip),
            ours=FIRST + "later client"),
        FIRST + "direct": Way(
            lambda: asked(server.uri(), trip, images.CONTEXT),
            ours=FIRST + "first client"),
        FIRST + "from our start": from_start(lab, args, trip),
    }


def map_far(milliseconds):
    def build(lab):
        server = loads_far.relayed(lab, images.null_with_runs(
            lab, SIZE, SIZE // images.BLOCK // 2), milliseconds)
        args = ["uri=" + server.uri(), "checkpoint=" + images.BITMAP]
        ways = {
            WHOLE + "ours": whole(lab, args),
            WHOLE + "ours, over TLS": whole_over_tls(lab, args),
            WHOLE + "direct": loads_map.mapping(lab, server.uri(), SIZE,
                                                images.CONTEXT),
        }
        if milliseconds > 0:
            ways |= first_ways(lab, args, server)
        return ways
    return build


def targets(milliseconds):
    """Without a way, a map is limited by nbdkit's sends: see map-256g.  Of 1 ms,
    what QEMU and we do takes longer than the round trips."""
    if milliseconds == 0:
        return []
    return [(WHOLE + ours, WHOLE + "direct", 1.2)
            for ours in ("ours", "ours, over TLS")] + [
        (FIRST + client, None, 3)
        for client in ("first client", "later client") if milliseconds > 1]


@load("map-far-16t", "16 TiB, every other 64 KiB dirty, %s: nbdinfo --map "
      "--totals from our start, over TLS as nbdkit then sends many extents at "
      "once" % loads_far.away(20),
      targets=[(WHOLE + "ours, over TLS", WHOLE + "direct", 1.2)])
def map_far_16t(lab):
    size = 16 * images.TiB
    server = loads_far.relayed(lab, images.null_with_runs(
        lab, size, size // images.BLOCK // 2), 20)
    args = ["uri=" + server.uri(), "checkpoint=" + images.BITMAP]
    return {
        WHOLE + "ours, over TLS": whole_over_tls(lab, args, size, most=1),
        WHOLE + "direct": loads_map.mapping(lab, server.uri(), size,
                                            images.CONTEXT, most=1),
    }


for way in loads_far.ROUND_TRIPS:
    load("map-far-%d" % way, "1 TiB, every other 64 KiB dirty, %s: from our "
         "start until nbdinfo --map --totals has it%s" % (
             loads_far.away(way), "; from the begin of connecting to the first "
             "answer" if way else ""),
         targets=targets(way))(map_far(way))
