# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A disk that takes 5 ms for each read: a file in a file system in user space
# (nbdfuse), below which nbdkit waits.  Nothing of it is cached at the start.
import functools
import os
import time

import images
import loads_far
from measure import Way, load

DELAY = "5ms"


def slow_file(lab):
    """The far loads' image, slowly; as root, or with fusermount."""
    image = lab.image("far", loads_far.all_dirty)
    server = lab.nbdkit("-r", "--filter=delay", "file", image,
                        "rdelay=" + DELAY)
    folder = lab.path("slow")
    os.mkdir(folder)
    path = os.path.join(folder, "disk")
    lab.start("nbdfuse", "-r", path, "--unix", server.path)
    for _ in range(1000):
        if os.path.exists(path):
            return path
        time.sleep(0.01)
    raise OSError("nbdfuse did not start")


def forget(path):
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def copy(lab, command, server, path):
    forget(path)
    lab.run(*command(server.uri()))


@load("slow-disk", "256 MiB, all dirty, on a disk that takes %s for each read"
      % DELAY,
      targets=[("%s: ours, file=" % client, "%s: qemu-nbd" % client, 1.1)
               for client in loads_far.CLIENTS], images=["far"])
def slow(lab):
    path = slow_file(lab)
    servers = {"ours, file=": lab.ours("file=" + path,
                                       "checkpoint=" + images.BITMAP),
               "qemu-nbd": lab.qemu_nbd(path, images.BITMAP)}
    return {"%s: %s" % (client, name): Way(
                functools.partial(copy, lab, command, servers[name], path),
                ours="%s: ours, file=" % client)
            for client, command in loads_far.CLIENTS.items()
            for name in servers}
