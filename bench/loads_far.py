# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Loads whose server is far away, or slow: each answer takes a round trip, which
# a relay makes as long as is wanted (tests/delay-relay.c).
import functools
import random
import struct

import images
from measure import Way, load

ROUND_TRIPS = 0, 1, 4, 20       # milliseconds
TAGGED = 4096
SIZE = 256 << 20
CLIENTS = {
    "qemu-img -W -m 16": lambda uri: [
        "qemu-img", "convert", "-W", "-m", "16"] + to_nowhere(uri),
    "qemu-img": lambda uri: ["qemu-img", "convert"] + to_nowhere(uri),
    "nbdcopy": lambda uri: ["nbdcopy", uri, "null:"],
    "nbdcopy, one connection": lambda uri: [
        "nbdcopy", "--connections=1", uri, "null:"],
}
PLOTS = {"nbdcopy": "far", "qemu-img -W -m 16": "far-qemu-img"}
titles = {"far": ("nbdcopy, 256 MiB, all dirty", "round trip, ms", "s"),
          "far-qemu-img": ("qemu-img convert -W -m 16, 256 MiB, all dirty",
                           "round trip, ms", "s")}


def to_nowhere(uri):
    return ["-n", "-f", "raw", uri, "--target-image-opts",
            "driver=raw,file.driver=null-co,file.size=%d" % SIZE]


def all_dirty(lab, path):
    lab.run("qemu-img", "create", "-q", "-f", "qcow2", path, str(SIZE))
    lab.run("qemu-img", "bitmap", "--add", path, images.BITMAP)

    lab.write(path, lambda client: [
        client.pwrite(tagged(offset, 32 << 20), offset)
        for offset in range(0, SIZE, 32 << 20)])


def tagged(offset, length):
    """Bytes in which each 4096 begin with their offset + 1."""
    filler = random.Random(offset).randbytes(TAGGED - 8)
    return b"".join(struct.pack("<Q", at + 1) + filler
                    for at in range(offset, offset + length, TAGGED))


def relayed(lab, server, milliseconds):
    """The same server, so far away (both ways together)."""
    if milliseconds == 0:
        return server
    return lab.serve(lab.relay, str(milliseconds), "SOCKET", server.path)


def far_server(lab, milliseconds):
    return relayed(lab, lab.qemu_nbd(lab.image("far", all_dirty),
                                     images.BITMAP), milliseconds)


def ours(lab, server, parameters=(), options=()):
    return lab.ours("uri=" + server.uri(), "checkpoint=" + images.BITMAP,
                    *parameters, options=options)


def starts(lab, server):
    """What starts us over that server, and nbdkit's own way to it."""
    return {"ours": lambda: ours(lab, server),
            "nbdkit nbd": lambda: lab.nbdkit("nbd", "uri=" + server.uri())}


def far_servers(lab, milliseconds):
    """What each load far away asks."""
    server = far_server(lab, milliseconds)
    started = {name: start() for name, start in starts(lab, server).items()}
    return {"ours": started["ours"], "direct": server} | started


def away(milliseconds):
    """For a title."""
    if milliseconds == 0:
        return "no relay"
    return "through a relay of %d ms (both ways together)" % milliseconds


def far(milliseconds):
    def build(lab):
        servers = far_servers(lab, milliseconds)
        return {"%s: %s" % (client, name): Way(
                    functools.partial(lab.run, *CLIENTS[client](
                        servers[name].uri())),
                    ours="%s: ours" % client,
                    point=(PLOTS[client], name, milliseconds)
                    if client in PLOTS else None)
                for client in CLIENTS for name in servers}
    return build


for way in ROUND_TRIPS:
    limits = {"qemu-img -W -m 16": 1.1, "qemu-img": 1.1} if way == 0 else {}
    load("far-%d" % way, "256 MiB, all dirty, " + away(way),
         targets=[("%s: ours" % client, "%s: direct" % client,
                   limits.get(client, 1.25 if way == 0 else 1.2))
                  for client in CLIENTS],
         images=["far"], times=2)(far(way))
