# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Random changes of bitmaps in the chains of two disks, and writes of a guest in
# between; after each, all bits of all bitmaps are those of a model.
#
#   property-bitmaps.py SEED ROUNDS CHANGE_BITMAPS

import hashlib
import json
import random
import subprocess
import sys

SIZE = 64 << 20
CHANGES_MOST = 6
NAMES = ["m%d" % i for i in range(5)]
GRANULARITIES = [512, 4096, 65536, 1 << 20]


class Bitmap:
    def __init__(self, granularity, recording):
        self.granularity = granularity
        self.recording = recording
        self.bits = set()

    def mark(self, begin, end):
        self.bits.update(range(begin // self.granularity,
                               (end - 1) // self.granularity + 1))

    def merge(self, other):
        for bit in other.bits:
            self.mark(bit * other.granularity, (bit + 1) * other.granularity)

    def copy(self):
        new = Bitmap(self.granularity, self.recording)
        new.bits = set(self.bits)
        return new

    def sha256(self):
        """As QEMU's hbitmap_sha256 has it: words of 64 bits."""
        number = 0
        for bit in self.bits:
            number |= 1 << bit
        words = (SIZE // self.granularity + 63) // 64
        return hashlib.sha256(number.to_bytes(words * 8, "little")).hexdigest()


class Daemon:
    """Reads only."""
    def __init__(self):
        self.process = subprocess.Popen(
            ["qemu-storage-daemon", "--chardev", "stdio,id=m",
             "--monitor", "chardev=m"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        print(json.dumps({"execute": command, "arguments": arguments}),
              file=self.process.stdin, flush=True)
        while True:
            answer = json.loads(self.process.stdout.readline())
            if "event" not in answer:
                return answer["return"]

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)


def make(rng):
    """Disks: lists of (file, {name: Bitmap}), top first."""
    disks = []
    for target in "ab":
        layers = []
        for depth in reversed(range(rng.randint(1, 3))):
            path = "%s%d.qcow2" % (target, depth)
            below = ["-b", layers[0][0], "-F", "qcow2"] if layers else []
            subprocess.check_call(["qemu-img", "create", "-q", "-f", "qcow2",
                                   *below, path, str(SIZE)])
            layers.insert(0, (path, {}))
        disks.append(layers)
    return disks


def guest_writes(rng, disks):
    path, bitmaps = rng.choice(disks)[0]
    begin = rng.randrange(0, SIZE - 4096, 512)
    length = rng.randrange(512, min(SIZE - begin, 300000), 512)
    subprocess.check_call(["qemu-io", "-f", "qcow2", "-c", "write -q %d %d"
                           % (begin, length), path])
    for bitmap in bitmaps.values():
        if bitmap.recording:
            bitmap.mark(begin, begin + length)


def random_change(rng, disks, removed):
    """(words, whether it can be done), done to disks if so."""
    which = rng.randrange(len(disks))
    disk = disks[which]
    layer = rng.randrange(len(disk))
    bitmaps = disk[layer][1]
    name = rng.choice(NAMES)
    action = rng.choice(["add", "off", "enable", "remove", "merge"])
    words = [action, "vd" + "ab"[which], str(layer), name]
    if action in ("add", "off"):
        granularity = rng.choice(GRANULARITIES)
        words.append(str(granularity))
        # QEMU removes at the end of a transaction.
        possible = name not in bitmaps and (which, layer, name) not in removed
        if possible:
            bitmaps[name] = Bitmap(granularity, action == "add")
        return words, possible
    if action == "merge":
        other, source = rng.choice(NAMES), rng.randrange(len(disk))
        words += [other, str(source)]
        possible = name in bitmaps and other in disk[source][1]
        if possible:
            bitmaps[name].merge(disk[source][1][other])
        return words, possible
    if name not in bitmaps:
        return words, False
    if action == "enable":
        bitmaps[name].recording = True
    else:
        del bitmaps[name]
        removed.add((which, layer, name))
    return words, True


def plan(rng, disks):
    """Changes of which none, or rarely the last, is impossible."""
    texts, removed = [], set()
    while len(texts) < rng.randint(1, CHANGES_MOST):
        words, possible = random_change(rng, disks, removed)
        # One that is said twice is done once.
        if not possible and (rng.random() < 0.8 or ",".join(words) in texts):
            continue
        texts.append(",".join(words))
        if not possible:
            return texts, False
    return texts, True


def copy(disks):
    return [[(path, {name: bitmap.copy() for name, bitmap in bitmaps.items()})
             for path, bitmaps in layers] for layers in disks]


def check(disks):
    daemon = Daemon()
    for layers in disks:
        for path, bitmaps in layers:
            node = path.split(".")[0]
            daemon.ask("blockdev-add", **{
                "driver": "qcow2", "node-name": node, "read-only": True,
                "backing": None, "file": {"driver": "file", "filename": path}})
            found = {}
            for info in daemon.ask("query-named-block-nodes", flat=True):
                if info["node-name"] == node:
                    found = {bitmap["name"]: bitmap
                             for bitmap in info.get("dirty-bitmaps", [])}
            assert set(found) == set(bitmaps), (path, found, list(bitmaps))
            for name, bitmap in bitmaps.items():
                info = found[name]
                assert not info.get("inconsistent"), (path, info)
                assert info["recording"] == bitmap.recording, (path, info)
                assert info["granularity"] == bitmap.granularity, (path, info)
                sha256 = daemon.ask("x-debug-block-dirty-bitmap-sha256",
                                    node=node, name=name)["sha256"]
                assert sha256 == bitmap.sha256(), (path, info)
    daemon.end()


def main():
    seed, rounds, change = sys.argv[1:]
    rng = random.Random(int(seed))
    disks = make(rng)
    refused = 0
    for _ in range(int(rounds)):
        guest_writes(rng, disks)
        after = copy(disks)
        texts, possible = plan(rng, after)
        result = run(change, disks[0][0][0], disks[1][0][0], "--", *texts)
        assert (result.returncode == 0) == possible, (texts, result.stdout)
        if possible:
            disks = after
        else:
            assert "nothing was changed" in result.stdout, result.stdout
            refused += 1
        check(disks)
    print("%d of %s were refused" % (refused, rounds))


main()
