# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The same promise for a disk whose record is spread over layers and bitmaps:
# for a random history, the united view holds exactly what QEMU itself says
# layer by layer, and a backup made through it is identical to the disk.
#
#   property-merge.py FILTER PLUGIN SEED ROUNDS
#
# Round n of seed s is round 0 of seed s + n: a failure names the seed that
# repeats it alone.

import json
import os
import random
import shutil
import sys
import tempfile

from servers import KIB, Server, run, write_randomly

FILTER, PLUGIN, SEED, ROUNDS = (sys.argv[1], sys.argv[2], int(sys.argv[3]),
                                int(sys.argv[4]))


def united(ranges):
    """Ranges in any order, as ascending ones with gaps between them."""
    joined = []
    for start, end in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], end)
        elif start < end:
            joined.append([start, end])
    return joined


def common(some, others):
    return united([max(a[0], b[0]), min(a[1], b[1])]
                  for a in some for b in others)


def covers(outer, inner):
    return common(outer, inner) == inner


class Layer:
    def __init__(self, number, size):
        self.number = number
        self.path = "layer%d.qcow2" % number
        self.data = None                # an external file
        self.size = size
        self.bitmaps = {}               # name: is it enabled?


class Disk:
    """A chain of layers, the top one last, with a random history."""

    def __init__(self, rng):
        self.rng = rng
        self.layers = []
        self.checkpoints = []
        self.granularities = []
        self.size = self.random_size(6 * KIB * KIB)
        self.grows = rng.random() < 0.4
        # How a bitmap goes on in a new layer: always, as libvirt sees to;
        # now and then; never.
        self.goes_on = rng.choice([1, 0.5, 0.5, 0])
        # Before libvirt 6.5, a new checkpoint ended its parent's bitmap.
        self.legacy = rng.random() < 0.35
        layers = rng.choice([1, 2, 3, 4, 5, 5])
        count = rng.randrange(2, 5) if self.legacy else rng.choice([1, 1, 2])
        # Rather early, so that there are layers above.
        moments = [min(rng.randrange(layers), rng.randrange(layers))
                   for _ in range(count)]
        for number in range(layers):
            late = self.add_layer()
            self.live(rng.randrange(5))
            for name in late:
                self.add_bitmap(name)
            for _ in range(moments.count(number)):
                self.add_checkpoint()
                self.live(rng.randrange(5))

    @property
    def top(self):
        return self.layers[-1]

    def random_size(self, most):
        return self.rng.randrange(1, most // 512) * 512 \
            if self.rng.random() < 0.7 \
            else self.rng.randrange(1, most // (64 * KIB)) * 64 * KIB

    def add_layer(self):
        if self.layers and self.grows and self.rng.random() < 0.4:
            self.size += self.random_size(2 * KIB * KIB)
        layer = Layer(len(self.layers), self.size)
        backing = ["-b", self.top.path, "-F", "qcow2"] if self.layers else []
        cluster = self.rng.choice([4, 16, 64, 64, 128])
        options = "cluster_size=%dk" % cluster
        if cluster >= 16 and self.rng.random() < 0.1:
            options += ",extended_l2=on"
        if self.rng.random() < 0.3:
            # Only the lowest layer's data file can be a raw one.
            layer.data = os.path.abspath("layer%d.data" % layer.number)
            options += ",data_file=%s,data_file_raw=%s" % (
                layer.data, "off" if self.layers
                else self.rng.choice(["on", "off"]))
        run("qemu-img", "create", "-q", "-f", "qcow2", "-o", options,
            *backing, layer.path, str(self.size))
        below, self.layers = self.layers, self.layers + [layer]
        late = []
        for name in self.checkpoints:
            if not any(other.bitmaps.get(name) for other in below):
                continue
            if self.rng.random() < self.goes_on:
                self.add_bitmap(name)
            # Above a layer without it, all that is allocated counts, so that
            # it does no harm if it comes back after some writes.
            elif name not in below[-1].bitmaps \
                    and self.rng.random() < self.goes_on:
                late.append(name)
        return late

    def add_bitmap(self, name):
        self.granularities.append(
            self.rng.choice([4, 16, 32, 64, 64, 128]) * KIB)
        run("qemu-img", "bitmap", "-f", "qcow2", "--add", "-g",
            str(self.granularities[-1]), self.top.path, name)
        self.top.bitmaps[name] = True

    def add_checkpoint(self):
        name = "c%d" % len(self.checkpoints)
        # The last one may be of a libvirt that was updated meanwhile.
        if self.legacy and self.rng.random() < 0.9:
            for earlier in self.checkpoints:
                if self.top.bitmaps.get(earlier):
                    run("qemu-img", "bitmap", "-f", "qcow2", "--disable",
                        self.top.path, earlier)
                    self.top.bitmaps[earlier] = False
        self.checkpoints.append(name)
        run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", self.top.path,
            name + ".raw")
        self.add_bitmap(name)

    def live(self, changes):
        """Some writes, then perhaps a larger disk and more writes."""
        self.change(changes)
        if self.grows and self.rng.random() < 0.3:
            self.size += self.random_size(2 * KIB * KIB)
            run("qemu-img", "resize", "-q", "-f", "qcow2", self.top.path,
                str(self.size))
            self.top.size = self.size
            self.change(self.rng.randrange(4))

    def change(self, count):
        write_randomly(self.rng, self.top.path, self.size, count)

    def write_tree(self, folder):
        os.mkdir(folder)
        parent = ""
        for number, name in enumerate(self.checkpoints):
            with open("%s/%s.xml" % (folder, name), "w") as f:
                f.write("<domaincheckpoint><name>%s</name>%s"
                        "<creationTime>%d</creationTime><disks><disk "
                        "name='vda' checkpoint='bitmap' bitmap='%s'/>"
                        "</disks></domaincheckpoint>\n" %
                        (name, parent, 1700000000 + number, name))
            parent = "<parent><name>%s</name></parent>" % name


class Truth:
    """What QEMU itself says of the layers, and what follows from it."""

    def __init__(self, disk):
        self.disk = disk
        self.bits = {}                  # (layer's number, bitmap): ranges
        for number, layer in enumerate(disk.layers):
            if layer.bitmaps:
                self.read_bits(number, layer)
        extents = json.loads(run("qemu-img", "map", "-f", "qcow2",
                                 "--output=json", disk.top.path))
        self.allocated = [
            united((e["start"], e["start"] + e["length"]) for e in extents
                   if e["present"]
                   and e["depth"] <= len(disk.layers) - 1 - number)
            for number in range(len(disk.layers))]
        # At the least: where the file has holes, more may seem to be.
        self.zeroes = united((e["start"], e["start"] + e["length"])
                             for e in extents if e["zero"] and not e["data"])
        run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", disk.top.path,
            "now.raw")
        with open("now.raw", "rb") as f:
            self.content = f.read()

    def read_bits(self, number, layer):
        bitmaps = [a for name in layer.bitmaps for a in ("-B", name)]
        context = "qemu:dirty-bitmap:"
        with Server("qemu-nbd", "-r", "-f", "qcow2", "-t", "-k", "SOCKET",
                    *bitmaps, layer.path) as server:
            found = server.status("", *(context + n for n in layer.bitmaps))
        for name in layer.bitmaps:
            self.bits[number, name] = united(
                (start, end) for start, end, flags in found[context + name]
                if flags & 1)

    def parts(self, since):
        """(layer's number, bitmap or None) of what tells what changed."""
        parts, disk = set(), self.disk
        for name in disk.checkpoints[disk.checkpoints.index(since):]:
            having = [n for n, layer in enumerate(disk.layers)
                      if name in layer.bitmaps]
            for number in range(having[0], len(disk.layers)):
                parts.add((number, name if number in having else None))
            # Those of later checkpoints go on where this one's ended.
            if all(disk.layers[n].bitmaps[name] for n in having):
                break
        return parts

    def dirty(self, since):
        ranges = []
        for number, name in self.parts(since):
            ranges += self.bits[number, name] if name \
                else self.allocated[number]
            # A layer knows nothing of what lies beyond its end.
            ranges.append([self.disk.layers[number].size, self.disk.size])
        return united(ranges)


def merged_by_qemu(disk, parts):
    """The union that QEMU makes, of copies, as it writes."""
    os.mkdir("merged")
    for layer in disk.layers:
        shutil.copy(layer.path, "merged")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", disk.top.path, "-F",
        "qcow2", "merged/union.qcow2")
    run("qemu-img", "bitmap", "-f", "qcow2", "--add", "--disable", "-g",
        str(min(disk.granularities)), "merged/union.qcow2", "union")
    for number, name in parts:
        run("qemu-img", "bitmap", "-f", "qcow2", "--merge", name, "-b",
            "merged/" + disk.layers[number].path, "-F", "qcow2",
            "merged/union.qcow2", "union")
    with Server("qemu-nbd", "-r", "-f", "qcow2", "-t", "-k", "SOCKET", "-B",
                "union", "merged/union.qcow2") as server:
        found = server.status("", "qemu:dirty-bitmap:union")
    shutil.rmtree("merged")
    return united((start, end) for start, end, flags
                  in found["qemu:dirty-bitmap:union"] if flags & 1)


def check_model(disk, truth, since):
    """Where QEMU can merge, it must agree with our sum of its answers."""
    parts = truth.parts(since)
    if all(name for _, name in parts) \
       and all(disk.layers[n].size == disk.size for n, _ in parts):
        merged = merged_by_qemu(disk, parts)
        assert merged == truth.dirty(since), \
            "since %s: QEMU merges %s, the model says %s" % (
                since, merged, truth.dirty(since))
        return 1
    return 0


def check_map(server, view, export, truth, dirty):
    extents = server.status(export, "base:allocation")["base:allocation"]
    flags = {"clean": 3 if view == "sparse" else 1,
             "data": 0, "zero": 0 if view == "sparse" else 3}
    assert {e[2] for e in extents} <= set(flags.values()), extents
    got = united(e[:2] for e in extents if e[2] != flags["clean"])
    assert got == dirty, "%s of '%s': %s is dirty, not %s" % (
        view, export, got, dirty)
    zero = united(e[:2] for e in extents if e[2] == flags["zero"])
    if view != "sparse":
        assert covers(zero, common(dirty, truth.zeroes)), \
            "%s of '%s': %s is zero, not %s" % (
                view, export, zero, common(dirty, truth.zeroes))
        assert not any(any(truth.content[start:end]) for start, end in zero), \
            "%s of '%s': some of %s is not zero" % (view, export, zero)


# The copy of the disk at the checkpoint may be smaller than the disk is now.
# It need not be touched: what lies beyond the end of a backing file reads as
# zeroes, which is what a disk was there before it grew.  So it is enough that
# the new image has the size of now: qemu-img convert gives it that of its
# source, and for nbdcopy we say it.

def backup_by_convert(disk, uri, since):
    run("qemu-img", "convert", "-f", "raw", "-B", since + ".raw", "-F", "raw",
        "-O", "qcow2", uri, "backup.qcow2")


def backup_by_nbdcopy(disk, uri, since):
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", since + ".raw", "-F",
        "raw", "backup.qcow2", str(disk.size))
    with Server("qemu-nbd", "-f", "qcow2", "-e", "8", "-t", "-k", "SOCKET",
                "backup.qcow2") as target:
        run("nbdcopy", "--destination-is-zero", "-S", "0",
            "--request-size=%d" % min(disk.granularities), uri, target.uri())


def check_view(disk, truth, view, backup, tree):
    # The empty name and the disk's are of the checkpoint that is configured.
    configured = disk.rng.choice(disk.checkpoints)
    names = {"vda@" + name: name for name in disk.checkpoints}
    names.update({"": configured, "vda": configured})
    with Server("nbdkit", "-f", "-U", "SOCKET", "--filter=" + FILTER, PLUGIN,
                disk.top.path, "checkpoint=" + configured, "view=" + view,
                *tree) as server:
        for export in disk.rng.sample(sorted(names), len(names)):
            check_map(server, view, export, truth,
                      truth.dirty(names[export]))
        export = disk.rng.choice(["", "vda@" + disk.checkpoints[0]])
        backup(disk, server.uri(export), names[export])
    output = run("qemu-img", "compare", "-f", "qcow2", "-F", "qcow2",
                 disk.top.path, "backup.qcow2")
    # It takes images of unlike sizes for identical, with a warning.
    assert output == "Images are identical.\n", output


def contents(disk):
    found = []
    for layer in disk.layers:
        for path in filter(None, (layer.path, layer.data)):
            with open(path, "rb") as f:
                found.append(f.read())
    return found


def play(seed):
    rng = random.Random(seed)
    disk = Disk(rng)
    truth = Truth(disk)
    tree = []
    if disk.legacy or rng.random() < 0.2:
        disk.write_tree("tree")
        tree = ["tree=tree"]
    before = contents(disk)
    merged = sum(check_model(disk, truth, c) for c in disk.checkpoints)
    for view, backup in (("overlay", backup_by_convert),
                         ("guard", backup_by_convert),
                         ("sparse", backup_by_nbdcopy)):
        check_view(disk, truth, view, backup, tree)
    assert contents(disk) == before, "an image was changed"
    return merged, max(len(truth.parts(c)) for c in disk.checkpoints)


def main():
    merged = spread = 0
    folder = tempfile.mkdtemp(dir=".")
    for seed in range(SEED, SEED + ROUNDS):
        home = os.path.join(folder, str(seed))
        os.mkdir(home)
        os.chdir(home)
        try:
            one_merged, parts = play(seed)
        except BaseException:
            print("FAILED: repeat with: SEED=%d ROUNDS=1" % seed, flush=True)
            raise
        os.chdir("../..")
        shutil.rmtree(home)
        merged += one_merged
        spread += parts > 1
    print("seed %d: %d rounds, %d with several parts; %d unions that QEMU "
          "makes, too" % (SEED, ROUNDS, spread, merged))


main()
