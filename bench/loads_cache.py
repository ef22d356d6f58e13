# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Loads that read images on a disk, none of which is in the page cache at first,
# and how much of them is there then.
import os

import images
from measure import Way, load

SIZE = 4 * images.GiB
CLIENTS = {
    "nbdcopy": ["nbdcopy", "URI", "null:"],
    "nbdcopy, one connection": ["nbdcopy", "--connections=1", "URI", "null:"],
    "qemu-img": ["qemu-img", "convert", "-n", "-f", "raw", "URI",
                 "--target-image-opts",
                 "driver=raw,file.driver=null-co,file.size=%d" % SIZE],
}


def full(lab, path):
    """4 GiB, all of it written after the checkpoint."""
    images.create(lab, path, SIZE)
    images.add_bitmap(lab, path)
    lab.write(path, lambda client: images.write_blocks(
        client, range(0, SIZE, images.MiB), images.MiB, 1))


def forget(path):
    def run():
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fdatasync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)
    return run


def cached(lab, path):
    """MiB."""
    pages = lab.run("fincore", "--noheadings", "--bytes", "--output", "RES",
                    path)
    return int(pages) / images.MiB


def reading(lab, server, disk, client):
    command = [server.uri() if word == "URI" else word
               for word in CLIENTS[client]]

    def stays():
        lab.run(*command)
        return cached(lab, disk)
    return (Way(lambda: lab.run(*command), before=forget(disk)),
            Way(stays, before=forget(disk), most=1))


def cold(client):
    def build(lab):
        disk = lab.image("on-disk", full, on_disk=True)
        servers = {
            "ours, cache=none": lab.ours("file=" + disk, "cache=none"),
            "ours": lab.ours("file=" + disk),
            "qemu-nbd --cache=none": lab.qemu_nbd(
                disk, images.BITMAP, options=["--cache=none"]),
            "qemu-nbd": lab.qemu_nbd(disk, images.BITMAP),
        }
        ways, stay = {}, {}
        for name, server in servers.items():
            ways[name], stay[name + ": MiB that stay"] = reading(
                lab, server, disk, client)
        return {**ways, **stay}
    return build


for number, client in enumerate(CLIENTS):
    load("cache-%d" % number, "4 GiB on a disk, of which nothing is in the "
         "page cache: " + client,
         targets=[("ours, cache=none", "ours", 1.1),
                  ("ours, cache=none: MiB that stay", None, 64)],
         images=["on-disk"])(cold(client))
