# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Loads on a fragmented disk: 4 GiB of data, of which every other 64 KiB is
# dirty.
import os

import images
import loads_data
from measure import Way, expect, load

SIZE, BLOCK = images.FRAG_SIZE, images.BLOCK


def frag(lab):
    return lab.image("frag", images.frag)


def client(lab, *args):
    """What bench-client prints: seconds, dirty bytes, sum."""
    seconds, dirty, total = lab.run(lab.client, *map(str, args)).split()
    return float(seconds), int(dirty), total


def extentlist(lab, qemu):
    """nbdkit's own filter, with the map that nbdinfo prints."""
    path = lab.new(".extents")
    with open(path, "w") as file:
        for line in lab.run("nbdinfo", "--map=" + images.CONTEXT,
                            qemu.uri()).splitlines():
            offset, length, kind = line.split()[:3]
            print(offset, length, "0" if kind == "1" else "hole", file=file)
    return lab.nbdkit("-r", "--filter=extentlist", "nbd", "uri=" + qemu.uri(),
                      "extentlist=" + path)


def truth(lab, qemu):
    """Dirty bytes, and a sum over them, as QEMU gives them itself."""
    return client(lab, "read", qemu.uri(), images.CONTEXT, BLOCK, 1)[1:]


def converting(lab, uri, wanted, most=None, point=None):
    """qemu-img convert -B, as the manual has it.  The file below is empty, so
    that what the result holds is what was copied."""
    below, out = lab.new(".qcow2"), lab.new(".qcow2")
    images.create(lab, below, SIZE)

    def run():
        lab.run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-B", below,
                "-F", "qcow2", uri, out)

    def remove():
        if os.path.exists(out):
            os.unlink(out)

    def check():
        run()
        with lab.servers():
            server = lab.qemu_nbd(out)
            got = client(lab, "read", server.uri(), "base:allocation", BLOCK,
                         1)[1:]
        remove()
        if wanted:
            expect(got, wanted, "what was copied")
        else:
            expect(got[0], SIZE // 2, "bytes that were copied")

    return Way(run, check, before=remove, most=most, point=point)


def coalesced(lab, uri):
    """Joined, all of the disk is copied."""
    way = converting(lab, uri, None)
    way.check = loads_data.same_bytes(lab, uri, frag(lab))
    return way


@load("frag-convert", "4 GiB, 32,768 dirty runs of 64 KiB: qemu-img convert -B "
      "into tmpfs",
      targets=[("ours, file=", "synthetic server", 1.15)],
      images=["frag"])
def frag_convert(lab):
    disk = frag(lab)
    qemu = lab.qemu_nbd(disk, images.BITMAP)
    checkpoint = "checkpoint=" + images.BITMAP
    wanted = truth(lab, qemu)
    ours = lab.ours("file=" + disk, checkpoint)
    joined = lab.ours("file=" + disk, checkpoint, "coalesce=64k")
    synthetic = lab.nbdkit(lab.synthetic, "size=%d" % SIZE)
    listed = extentlist(lab, qemu)
    return {
        "ours, file=": converting(lab, ours.uri(), wanted),
        "ours, file= coalesce=64k": coalesced(lab, joined.uri()),
        "synthetic server": converting(lab, synthetic.uri(), None),
        "nbdkit extentlist over nbd": converting(lab, listed.uri(), wanted,
                                                 most=1),
    }


def copying(lab, uri, wanted, size=SIZE, more_options=()):
    """nbdcopy, as the manual has it for view=sparse."""
    options = ["--request-size=%d" % BLOCK, "--destination-is-zero", "-S", "0",
               *more_options]

    def check():
        out = lab.new(".raw")
        with open(out, "wb") as file:
            file.truncate(size)
        lab.run("nbdcopy", *options, uri, out)
        expect(os.stat(out).st_blocks * 512, wanted[0], "bytes copied")
        with lab.servers():
            server = lab.qemu_nbd(out, format="raw")
            got = client(lab, "read", server.uri(), "base:allocation", BLOCK,
                         1)[1:]
        os.unlink(out)
        expect(got, wanted, "what was copied")
    return Way(loads_data.nbdcopy(lab, uri, *options), check)


def reading(lab, uri, context, wanted):
    def run():
        seconds, *got = client(lab, "read", uri, context, BLOCK, 2)
        expect(tuple(got), wanted, "what was read")
        return seconds
    return Way(run)


@load("frag-read", "the same disk, view=sparse: nbdcopy of what is dirty, "
      "64 KiB at a time, to null:",
      targets=[("ours, uri=", "direct from QEMU, of a disk with no more", 1.1),
               ("ours, file=", "direct from QEMU, of a disk with no more",
                1.1),
               ("ours, uri=, C client", "direct from QEMU, C client", 1.1)],
      images=["frag", "frag-sparse"])
def frag_read(lab):
    disk = frag(lab)
    checkpoint = "checkpoint=" + images.BITMAP
    qemu = lab.qemu_nbd(disk, images.BITMAP)
    sparse = lab.qemu_nbd(lab.image("frag-sparse", images.frag_sparse))
    by_uri = lab.ours("uri=" + qemu.uri(), checkpoint, "view=sparse")
    by_file = lab.ours("file=" + disk, checkpoint, "view=sparse")
    wanted = truth(lab, qemu)
    return {
        "ours, uri=": copying(lab, by_uri.uri(), wanted),
        "ours, file=": copying(lab, by_file.uri(), wanted),
        "direct from QEMU, of a disk with no more":
            copying(lab, sparse.uri(), wanted),
        loads_data.RELAY + " from there":
            copying(lab, loads_data.relayed(lab, sparse).uri(), wanted),
        "ours, uri=, C client":
            reading(lab, by_uri.uri(), "base:allocation", wanted),
        "direct from QEMU, C client":
            reading(lab, qemu.uri(), images.CONTEXT, wanted),
    }


def asking(lab, uri, size, wanted=None, most=None):
    """One extent at each 64 KiB."""
    def run():
        seconds, *got = client(lab, "status", uri, "base:allocation", BLOCK)
        if wanted:
            expect(got, wanted, "extents")
        return seconds / (size // BLOCK) * 1e6
    return Way(run, check=None if most else run, most=most)


@load("frag-status", "the same disk: block status of one extent at each 64 KiB",
      unit="µs",
      targets=[("ours, file=", "synthetic server", 1.05)], images=["frag"])
def frag_status(lab):
    disk = frag(lab)
    checkpoint = "checkpoint=" + images.BITMAP
    qemu = lab.qemu_nbd(disk, images.BITMAP)
    synthetic = lab.nbdkit(lab.synthetic, "size=%d" % SIZE)
    wanted = list(client(lab, "status", synthetic.uri(), "base:allocation",
                         BLOCK)[1:])
    by_file = lab.ours("file=" + disk, checkpoint)
    by_uri = lab.ours("uri=" + qemu.uri(), checkpoint)
    return {
        "ours, file=": asking(lab, by_file.uri(), SIZE, wanted),
        "ours, uri=": asking(lab, by_uri.uri(), SIZE, wanted),
        "synthetic server": asking(lab, synthetic.uri(), SIZE, wanted),
        "direct from QEMU (another map)": asking(lab, qemu.uri(), SIZE),
        "nbdkit extentlist over nbd":
            asking(lab, extentlist(lab, qemu).uri(), SIZE, wanted, most=1),
    }


@load("filter-status", "5 layers: block status of one extent at each 64 KiB",
      unit="µs", targets=[("filter and plugin", "plugin", 1.05)],
      images=images.chain_names)
def filter_status(lab):
    disk = images.chain(lab)
    return {
        "filter and plugin":
            asking(lab, loads_data.filter_uri(lab, disk), 2 * images.GiB),
        "plugin": asking(lab, loads_data.part_uri(lab, disk), 2 * images.GiB),
    }
