# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Loads of a fragmented disk whose server is far away: every other 64 KiB is
# dirty.  Directly, the same client reads the same ranges of a disk that has
# nothing else.
import contextlib
import functools
import os
import time

import images
import loads_far
import loads_frag
from measure import Way, expect, load

BLOCK = images.BLOCK
RUNS = 4096
# qemu-img asks for the status of each range, twice, and waits for each answer:
# so many runs take it directly about 16 s.
CONVERTED = {0: RUNS, 1: RUNS, 4: RUNS // 4, 20: RUNS // 16}
COPIES = {"nbdcopy": [],
          "nbdcopy, one connection": ["--connections=1"]}
CONVERT = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-F", "qcow2"]
CONVERTS = {"qemu-img -B": CONVERT,
            "qemu-img -B -W -m 16": CONVERT + ["-W", "-m", "16"]}


def image(lab, what, runs):
    """what: of images.frag, or images.frag_sparse."""
    return lab.image("%s-%d" % (what.__name__, runs),
                     functools.partial(what, size=2 * runs * BLOCK))


def server_of(lab, runs, milliseconds):
    """The far server of the whole disk, with its bitmap."""
    return loads_far.relayed(lab, lab.qemu_nbd(
        image(lab, images.frag, runs), images.BITMAP), milliseconds)


def only_dirty(lab, runs, milliseconds, below):
    """The far server of a disk without what is clean.

    below: what is clean is "not here", as our view=overlay has it and -B leaves
    out, instead of zero.  QEMU says that of what is not in an image, and
    nothing is known of in the one below it.
    """
    path = image(lab, images.frag_sparse, runs)
    if not below:
        server = lab.qemu_nbd(path)
    else:
        server = lab.serve(
            "qemu-nbd", "-t", "-r", "-e", "64", "-k", "SOCKET", "--image-opts",
            "driver=qcow2,file.driver=file,file.filename=%s,"
            "backing.driver=null-co,backing.size=%d"
            % (path, 2 * runs * BLOCK))
    return loads_far.relayed(lab, server, milliseconds)


def copies(lab, milliseconds):
    """What is copied is checked where that takes no time."""
    servers = {
        "ours": loads_far.ours(lab, server_of(lab, RUNS, milliseconds),
                               parameters=["view=sparse"]),
        "direct": only_dirty(lab, RUNS, milliseconds, below=False)}
    wanted = copied(lab, image(lab, images.frag_sparse, RUNS))
    ways = {"%s: %s" % (client, name): loads_frag.copying(
                lab, servers[name].uri(), wanted, 2 * RUNS * BLOCK,
                COPIES[client])
            for client in COPIES for name in servers}
    for name, way in ways.items():
        way.ours = name.partition(": ")[0] + ": ours"
        if milliseconds > 0:
            way.check = None
    return ways


def converting(lab, client, server, runs, most):
    """The image below is empty, so that the result holds what was copied."""
    below, out = lab.new(".qcow2"), lab.new(".qcow2")
    images.create(lab, below, 2 * runs * BLOCK)

    def remove():
        with contextlib.suppress(FileNotFoundError):
            os.unlink(out)

    def run():
        start = time.monotonic()
        lab.run(*CONVERTS[client], "-B", below, server.uri(), out)
        took = time.monotonic() - start
        expect(copied(lab, out), copied(lab, image(lab, images.frag_sparse,
                                                   runs)), "what was copied")
        return took
    return Way(run, before=remove, most=most, ours=client + ": ours")


def copied(lab, path):
    """Bytes that the image has, and a sum over them."""
    with lab.servers():
        return loads_frag.client(lab, "read", lab.qemu_nbd(path).uri(),
                                 "base:allocation", BLOCK, 1)[1:]


def conversions(lab, milliseconds):
    """nbdkit's extentlist has the map on this side: no question goes far."""
    runs = CONVERTED[milliseconds]
    server = server_of(lab, runs, milliseconds)
    servers = {
        "ours": loads_far.ours(lab, server),
        "direct": only_dirty(lab, runs, milliseconds, below=True),
        "nbdkit extentlist over nbd": loads_frag.extentlist(lab, server)}
    return {"%s: %s" % (client, name): converting(
                lab, client, servers[name], runs,
                1 if milliseconds and name == "direct" else None)
            for client in CONVERTS for name in servers}


def runs_of(milliseconds):
    return lambda lab: copies(lab, milliseconds) \
        | conversions(lab, milliseconds)


for way in loads_far.ROUND_TRIPS:
    load("runs-%d" % way, "%d dirty runs of 64 KiB, %s: nbdcopy, view=sparse, "
         "to null:; of %d runs, qemu-img convert -B into tmpfs"
         % (RUNS, loads_far.away(way), CONVERTED[way]),
         targets=[("%s: ours" % client, "%s: direct" % client, 1.3)
                  for client in COPIES | CONVERTS],
         images=["%s-%d" % (what.__name__, runs)
                 for what in (images.frag, images.frag_sparse)
                 for runs in (RUNS, CONVERTED[way])],
         times=2)(runs_of(way))
