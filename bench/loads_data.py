# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Loads in which much is read.
import os
import subprocess

import images
from lab import KILLED_WITH_US, LIMIT
from measure import Way, Wrong, load

# What was never written is clean, and nbdcopy reads what is clean unless it is
# said to be zero.  So this makes it read the same bytes from all servers.
SPARSE = ["checkpoint=" + images.BITMAP, "view=sparse"]

def nbdcopy(lab, uri, *options):
    return lambda: lab.run("nbdcopy", *options, uri, "null:")


def same(lab, uri, image):
    """Whether the export holds the bytes of the image."""
    return lambda: lab.run("qemu-img", "compare", "-U", "-f", "raw",
                           "-F", "qcow2", uri, image)


def same_bytes(lab, uri, image):
    """The same, where qemu-img would take what is clean for zeroes."""
    def check():
        out = lab.new(".raw")
        try:
            lab.run("nbdcopy", "--no-extents", uri, out)
            lab.run("qemu-img", "compare", "-U", "-f", "raw", "-F", "qcow2",
                    out, image)
        finally:
            os.unlink(out)
    return check


def relayed(lab, server):
    return lab.serve("socat", "-b", "262144", "UNIX-LISTEN:SOCKET,fork",
                     "UNIX-CONNECT:" + server.path)


RELAY = "socat, a relay of bytes"


def reading(lab, uri, image):
    return Way(nbdcopy(lab, uri), same(lab, uri, image))


@load("all-dirty-uri", "4 GiB disk, 2 GiB data, all of it dirty: nbdcopy to "
      "null:, uri= of qemu-nbd",
      targets=[("ours, uri=", "direct from QEMU", 1.20)],
      images=["all-dirty"])
def all_dirty_uri(lab):
    disk = lab.image("all-dirty", images.all_dirty)
    qemu = lab.qemu_nbd(disk, images.BITMAP)
    ours = lab.ours("uri=" + qemu.uri(), *SPARSE)
    relay = lab.nbdkit("nbd", "uri=" + qemu.uri())
    shared = lab.nbdkit("nbd", "shared=true", "uri=" + qemu.uri())
    return {
        "ours, uri=": reading(lab, ours.uri(), disk),
        "direct from QEMU": reading(lab, qemu.uri(), disk),
        "nbdkit nbd": reading(lab, relay.uri(), disk),
        "nbdkit nbd shared=true": reading(lab, shared.uri(), disk),
        RELAY: reading(lab, relayed(lab, qemu).uri(), disk),
    }


@load("all-dirty-file", "the same, file=",
      targets=[("ours, file=", "direct from qemu-nbd", 0.90)],
      images=["all-dirty", "all-dirty-raw"])
def all_dirty_file(lab):
    disk = lab.image("all-dirty", images.all_dirty)
    raw = lab.image("all-dirty-raw", images.all_dirty_raw)
    ours = lab.ours("file=" + disk, *SPARSE)
    qemu = lab.qemu_nbd(disk, images.BITMAP)
    daemon = lab.storage_daemon(
        "--blockdev", "qcow2,node-name=disk,read-only=on,file.driver=file,"
        "file.filename=" + disk,
        "--export", "nbd,id=e,node-name=disk,name=")
    file = lab.nbdkit("-r", "file", raw)
    return {
        "ours, file=": reading(lab, ours.uri(), disk),
        "direct from qemu-nbd": reading(lab, qemu.uri(), disk),
        "direct from qemu-storage-daemon": reading(lab, daemon.uri(), disk),
        "nbdkit file, of the raw disk": reading(lab, file.uri(), disk),
    }


def two_at_once(lab, uri):
    def run():
        command = KILLED_WITH_US + ["nbdcopy", "--connections=4", uri, "null:"]
        both = [subprocess.Popen(command) for _ in range(2)]
        try:
            if [process.wait(LIMIT) for process in both] != [0, 0]:
                raise Wrong("nbdcopy failed")
        finally:
            for process in both:
                if process.poll() is None:
                    process.kill()
                    process.wait()
    return run


@load("two-clients", "4 GiB disk, 2 GiB data, all dirty: two nbdcopy "
      "--connections=4 at once",
      targets=[("ours, uri=", "direct from QEMU", 1.20),
               ("ours, file=", "direct from QEMU", 1.20)],
      images=["all-dirty"])
def two_clients(lab):
    disk = lab.image("all-dirty", images.all_dirty)
    qemu = lab.qemu_nbd(disk, images.BITMAP)
    by_uri = lab.ours("uri=" + qemu.uri(), *SPARSE)
    by_file = lab.ours("file=" + disk, *SPARSE)
    return {
        "ours, uri=": Way(two_at_once(lab, by_uri.uri())),
        "ours, file=": Way(two_at_once(lab, by_file.uri())),
        "direct from QEMU": Way(two_at_once(lab, qemu.uri())),
    }


@load("filter-read", "5 layers, read whole by nbdcopy: the filter over the "
      "plugin, the plugin's part 0; and with the map, which has more runs if "
      "it is of all parts",
      targets=[("filter and plugin", "plugin", 1.02)],
      images=images.chain_names, times=3)
def filter_read(lab):
    disk = images.chain(lab)
    united = filter_uri(lab, disk)
    part = part_uri(lab, disk)
    return {
        "filter and plugin": Way(nbdcopy(lab, united, "--no-extents"),
                                 same_bytes(lab, united, disk)),
        "plugin": Way(nbdcopy(lab, part, "--no-extents"),
                      same_bytes(lab, part, disk)),
        "filter and plugin, with the map": Way(nbdcopy(lab, united)),
        "plugin, with the map": Way(nbdcopy(lab, part)),
    }


def filter_uri(lab, disk):
    if lab.filter is None:
        raise OSError("the filter is not built")
    return lab.ours("disk=vda", "file=" + disk,
                    "checkpoint=" + images.BITMAP,
                    options=["--filter=" + lab.filter]).uri("vda")


def part_uri(lab, disk):
    return lab.ours("disk=vda", "file=" + disk,
                    "checkpoint=" + images.BITMAP).uri(
                        "vda@%s/0" % images.BITMAP)
