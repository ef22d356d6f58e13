# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Loads whose server is far away, or slow: each answer takes a round trip, which
# a relay makes as long as is wanted (tests/delay-relay.c).
import images
from measure import Way, load

SIZE = 256 << 20
CLIENTS = {
    "qemu-img -W -m 16": lambda uri: [
        "qemu-img", "convert", "-W", "-m", "16"] + to_nowhere(uri),
    "qemu-img": lambda uri: ["qemu-img", "convert"] + to_nowhere(uri),
    "nbdcopy": lambda uri: ["nbdcopy", uri, "null:"],
    "nbdcopy, one connection": lambda uri: [
        "nbdcopy", "--connections=1", uri, "null:"],
}


def to_nowhere(uri):
    return ["-n", "-f", "raw", uri, "--target-image-opts",
            "driver=raw,file.driver=null-co,file.size=%d" % SIZE]


def all_dirty(lab, path):
    lab.run("qemu-img", "create", "-q", "-f", "qcow2", path, str(SIZE))
    lab.run("qemu-img", "bitmap", "--add", path, images.BITMAP)

    def write(client):
        client.pwrite(bytes([7]) * (32 << 20), 0)
        for offset in range(32 << 20, SIZE, 32 << 20):
            client.pwrite(bytes([offset >> 25]) * (32 << 20), offset)
    lab.write(path, write)


def far(milliseconds):
    def build(lab):
        disk = lab.image("far", all_dirty)
        server = lab.qemu_nbd(disk, images.BITMAP)
        if milliseconds:
            server = lab.serve(lab.relay, str(milliseconds), "SOCKET",
                               server.path)
        servers = {
            "ours": lab.ours("uri=" + server.uri(),
                             "checkpoint=" + images.BITMAP),
            "direct": server,
            "nbdkit nbd": lab.nbdkit("nbd", "shared=true",
                                     "uri=" + server.uri()),
        }
        return {"%s: %s" % (client, name): reading(
                    lab, CLIENTS[client](servers[name].uri()))
                for client in CLIENTS for name in servers}
    return build


def reading(lab, command):
    return Way(lambda: lab.run(*command))


for way in 0, 1, 4, 20:
    limits = {"qemu-img -W -m 16": 1.1, "qemu-img": 1.1} if way == 0 else {}
    load("far-%d" % way, "256 MiB, all dirty, through a relay of %d ms (both "
         "ways together)" % way if way else "the same without one",
         targets=[("%s: ours" % client, "%s: direct" % client,
                   limits.get(client, 1.25 if way == 0 else 1.2))
                  for client in CLIENTS],
         images=["far"])(far(way))
