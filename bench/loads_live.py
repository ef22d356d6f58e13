# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Running guests: bench/live.sh measures, in namespaces of its own.
import os
import shutil

from measure import Way, load

LABELS = {"nbdcopy": "ours, libvirt= view=sparse, nbdcopy",
          "convert": "ours, libvirt=, qemu-img convert -B",
          "virtnbdbackup": "virtnbdbackup -l inc"}


@load("live", "a guest of libvirt, 4 GiB with 1 GiB data, 3,000 random dirty "
      "64 KiB: a whole incremental backup, from start to the end of its job",
      targets=[(LABELS["nbdcopy"], LABELS["virtnbdbackup"], 0.33)])
def live(lab):
    if not shutil.which("virtnbdbackup"):
        raise OSError("virtnbdbackup is not installed")
    ways = {label: Way(None, most=0) for label in LABELS.values()}
    out = lab.run(
        os.path.join(lab.source, "bench/live.sh"), str(lab.runs), lab.plugin,
        env=dict(os.environ, srcdir=lab.source, builddir=lab.build,
                 TMPDIR=lab.folder or "/tmp"))
    for line in out.splitlines():
        name, _, seconds = line.partition(" took ")
        if name in LABELS:
            ways[LABELS[name]].samples.append(float(seconds))
    return ways
