# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Loads in which only the map is read, of disks that hold nothing.
import time

import nbd

import images
from measure import Way, expect, load


def totals(lab, uri, context=None):
    """The sizes that nbdinfo --map --totals prints, in order."""
    out = lab.run("nbdinfo", "--map" + ("=" + context if context else ""),
                  "--totals", uri)
    return sorted(int(line.split()[0]) for line in out.splitlines())


def mapping(lab, uri, size, context=None, most=None, point=None):
    """Half of the disk must be dirty."""
    def run():
        start = time.monotonic()
        got = totals(lab, uri, context)
        took = time.monotonic() - start
        expect(got, [size // 2, size // 2], "sizes of clean and dirty")
        return took
    return Way(run, most=most, point=point)


def started(lab, args, what, memory=None, most=None, point=None):
    """From starting our server to the end of what (uri) does.  memory gets
    what it then takes more than an nbdkit that does nothing, in MiB."""
    def run():
        with lab.servers():
            start = time.monotonic()
            server = lab.ours(*args)
            what(server.uri())
            took = time.monotonic() - start
            if memory is not None:
                empty = lab.nbdkit("null", "1M")
                totals(lab, empty.uri())
                memory.append(server.rss() - empty.rss())
        return took
    return Way(run, most=most, point=point)


def last_block(size, wanted):
    """Asks whether the last block is dirty, which makes us read the map."""
    def ask(uri):
        client, seen = nbd.NBD(), []
        client.add_meta_context("base:allocation")
        client.connect_uri(uri)
        client.block_status(images.BLOCK, size - images.BLOCK,
                            lambda c, o, entries, e: seen.extend(entries),
                            nbd.CMD_FLAG_REQ_ONE)
        client.shutdown()
        expect(seen, [images.BLOCK, 0 if wanted else 1], "the last block")
    return ask


def whole_map(lab, size):
    return lambda uri: expect(totals(lab, uri), [size // 2, size // 2],
                              "sizes of clean and dirty")


def over_tls(lab, args):
    """The URI of a server of ours; with TLS, nbdkit holds back what is followed
    by more, and sends many extents at once."""
    keys = lab.path("keys.psk")
    lab.run("psktool", "-u", "bench", "-p", keys)
    server = lab.serve("nbdkit", "-f", "-U", "SOCKET", "--tls=require",
                       "--tls-psk=" + keys, lab.plugin, *args)
    return server.uri().replace("nbd+unix://", "nbds+unix://bench@") \
        + "&tls-psk-file=" + keys


def map_ways(lab, size, nbdkit_too):
    """nbdkit sends each extent by a system call of its own, as the synthetic
    server shows.  Of a large map, that is left out: what is measured is how
    long it takes us to read it."""
    qemu = images.null_with_runs(lab, size, size // images.BLOCK // 2)
    args = ["uri=" + qemu.uri(), "checkpoint=" + images.BITMAP]
    memory = Way(None, most=0)
    ways = {
        "ours, started, last block":
            started(lab, args, last_block(size, True), memory.samples),
        "direct from QEMU": mapping(lab, qemu.uri(), size, images.CONTEXT),
        "ours, memory in MiB": memory,
    }
    if nbdkit_too:
        warm = lab.ours(*args)
        synthetic = lab.nbdkit(lab.synthetic, "size=%d" % size)
        last_block(size, True)(warm.uri())
        ways |= {
            "ours, started": started(lab, args, whole_map(lab, size)),
            "ours, second client": mapping(lab, warm.uri(), size),
            "synthetic server": mapping(lab, synthetic.uri(), size),
        }
    return ways


LARGE = [("ours, started, last block", "direct from QEMU", 2.0),
         ("ours, memory in MiB", None, 64)]


@load("map-256g", "256 GiB, every other 64 KiB dirty: nbdinfo --map --totals",
      targets=LARGE + [("ours, started", "direct from QEMU", 2.0),
                       ("ours, second client", "direct from QEMU", 1.3),
                       ("ours, started", "synthetic server", 1.3),
                       ("ours, second client", "synthetic server", 1.1)])
def map_256g(lab):
    return map_ways(lab, 256 * images.GiB, True)


@load("map-tls", "256 GiB again, ours over TLS")
def map_tls(lab):
    size = 256 * images.GiB
    qemu = images.null_with_runs(lab, size, size // images.BLOCK // 2)
    args = ["uri=" + qemu.uri(), "checkpoint=" + images.BITMAP]
    return {
        "ours, second client, over TLS":
            mapping(lab, over_tls(lab, args), size),
        "direct from QEMU": mapping(lab, qemu.uri(), size, images.CONTEXT),
    }


@load("map-16t", "16 TiB, every other 64 KiB dirty: nbdinfo --map --totals, "
      "our start and one block status", targets=LARGE)
def map_16t(lab):
    return map_ways(lab, 16 * images.TiB, False)
