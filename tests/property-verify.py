# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Random disks, chains of backups and faults: qemu-checkpoint verify finds exactly
# the sectors in which QEMU's own copies of both differ, and calls each by what
# QEMU's own bitmaps say of it.
#
#   property-verify.py PLUGIN TOOL SEED ROUNDS [TRIALS]
#
# Round n of seed s is round 0 of seed s + n.  TRIALS: instead, of a sample's odds.
# With GOOD in the environment there are no faults.

import json
import math
import os
import random
import subprocess
import sys
import tempfile

import images
from servers import KIB, Server, random_writes, run

PLUGIN, TOOL, SEED, ROUNDS = sys.argv[1:3] + [int(a) for a in sys.argv[3:5]]
TRIALS = int(sys.argv[5]) if len(sys.argv) > 5 else 0
SECTOR, BLOCK, MASK = 512, 64 * KIB, (1 << 64) - 1


# ── What is to be found ──

def mix(number):
    number = (number ^ number >> 30) * 0xbf58476d1ce4e5b9 & MASK
    number = (number ^ number >> 27) * 0x94d049bb133111eb & MASK
    return number ^ number >> 31


def takes(seed, share, block):
    """As common/view/sample.c."""
    number = mix((mix(seed) + (block + 1) * 0x9e3779b97f4a7c15) & MASK)
    return (number >> 11) / 2 ** 53 < share


def contents(path):
    with open(path, "rb") as f:
        return f.read()


def sectors(ranges):
    """The set of sectors that dirty ranges touch; granularities are more."""
    return {n for start, end in ranges
            for n in range(start // SECTOR, -(-end // SECTOR))}


class Truth:
    """Both sides by QEMU's word, and what is dirty since each checkpoint."""

    def __init__(self, disk, backup, format, checkpoints):
        disk.copy("now.raw", "raw")
        run("qemu-img", "convert", "-f", format, "-O", "raw", backup,
            "backup.raw")
        self.now, self.then = contents("now.raw"), contents("backup.raw")
        bitmaps = [a for c in checkpoints for a in ("-B", c)]
        self.dirty = {}
        with Server("qemu-nbd", "-r", "-t", "-e", "8", "-k", "SOCKET", *bitmaps,
                    *disk.words()) as server:
            for name in checkpoints:
                context = "qemu:dirty-bitmap:" + name
                self.dirty[name] = sectors(
                    (start, end) for start, end, flags
                    in server.status("", context)[context] if flags & 1)

    def class_of(self, sector, since, taken):
        at = sector * SECTOR
        if taken and (at >= len(self.now) or sector in self.dirty[taken]):
            return "excused"
        if at >= len(self.now):
            return "beyond"
        if since:
            return "changed" if sector in self.dirty[since] else "unchanged"
        return "unchanged" if taken else "changed"

    def differing(self, since, taken, seed, share):
        """Bytes by class."""
        found = {"changed": 0, "unchanged": 0, "beyond": 0}
        end = max(len(self.now), len(self.then))
        for start in range(0, end, 64 * KIB):
            if self.piece(self.now, start, 64 * KIB, end) \
                    == self.piece(self.then, start, 64 * KIB, end):
                continue
            for at in range(start, min(end, start + 64 * KIB), SECTOR):
                mine = self.piece(self.now, at, SECTOR, end)
                if mine == self.piece(self.then, at, SECTOR, end):
                    continue
                which = self.class_of(at // SECTOR, since, taken)
                if which == "excused" or which == "unchanged" \
                        and not takes(seed, share, at // BLOCK):
                    continue
                found[which] += len(mine)
        return found

    @staticmethod
    def piece(data, at, length, end):
        piece = data[at:at + length]
        return piece + bytes(min(length, end - at) - len(piece))


# ── Random disks and backups ──

def verify(*args):
    """What it found; its status and its words agree."""
    done = subprocess.run([TOOL, "verify", "--json", *args],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=120)
    assert done.returncode in (0, 1), (args, done)
    found = json.loads(done.stdout)
    assert found["equal"] == (done.returncode == 0), done
    assert found["equal"] == (not found["findings"]), done
    return found


class History:
    def __init__(self, rng):
        self.rng = rng
        self.granularity = rng.choice([4, 16, 64, 64, 64, 128]) * KIB
        self.size = rng.randrange(1, 12 * KIB * KIB // 512) * 512
        self.disk, self.kinds = images.make_disk(
            rng, "disk.qcow2", self.size, rng.choice([4, 64, 64]) * KIB,
            lambda image, size: image.write(
                *random_writes(rng, size, rng.randrange(12))))
        self.change(rng.randrange(12))
        self.checkpoints, self.backups = [], []
        self.back_up_fully()
        for _ in range(rng.randrange(1, 4)):
            self.change(rng.randrange(1, 16))
            if rng.random() < 0.15:
                self.resize()
            self.back_up()

    def change(self, count):
        self.disk.write(*random_writes(self.rng, self.size, count))

    def resize(self):
        if self.disk.key is not None or self.disk.data:
            return
        self.size += self.rng.choice([512, 64 * KIB, 1024 * KIB])
        if self.rng.random() < 0.3 and self.size > 3000 * KIB:
            self.size -= 2048 * KIB
        run("qemu-img", "resize", "-q", "--shrink", *self.disk.words(),
            str(self.size))

    def add_checkpoint(self):
        name = "c%d" % len(self.checkpoints)
        self.disk.add_bitmap(name, self.granularity)
        self.checkpoints.append(name)

    def back_up_fully(self):
        options = self.rng.choice(
            [["-O", "qcow2"], ["-O", "qcow2", "-c"], ["-O", "raw"],
             ["-O", "qcow2", "-o", "cluster_size=4k"],
             ["-O", "qcow2", "-o", "cluster_size=2M"],
             ["-O", "qcow2", "-o", "extended_l2=on,cluster_size=128k"]])
        *before, name = self.disk.words()
        self.add_checkpoint()
        run("qemu-img", "convert", *before, *options, name, "full")
        self.backups.append(("full", options[1]))

    def back_up(self):
        rng, since = self.rng, self.checkpoints[-1]
        base, format = self.backups[-1]
        name = "incremental%d" % len(self.backups)
        options = ["-o", "cluster_size=%d" % self.granularity]
        if rng.random() < 0.3:
            options.append("-c")
        elif rng.random() < 0.3:
            options = ["-o", "extended_l2=on,cluster_size=128k"]
        self.add_checkpoint()
        with Server("nbdkit", "-f", "-U", "SOCKET", PLUGIN, "disk.qcow2",
                    *images.secret_words(rng)) as server:
            run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-B", base,
                "-F", format, *options, server.uri("vda@" + since), name)
        self.backups.append((name, "qcow2"))

    # ── Faults ──

    def anywhere(self):
        return self.rng.randrange(0, self.size, SECTOR)

    def flip(self, name, format):
        """One bit of a backup, as QEMU reads it."""
        at = self.anywhere()
        run("qemu-img", "convert", "-f", format, "-O", "raw", name, "raw")
        data = contents("raw")
        os.unlink("raw")
        if at < len(data):
            at += self.rng.randrange(min(SECTOR, len(data) - at))
            run("qemu-io", "-f", format, "-c", "write -q -P %d %d 1" % (
                data[at] ^ 1 << self.rng.randrange(8), at), name)

    def lose(self, name, format):
        """A stretch of the newest backup is as it was in the one below."""
        start = self.anywhere() // self.granularity * self.granularity
        length = min(self.granularity, self.size - start)
        base, of = self.backups[-2] if len(self.backups) > 1 else (name, format)
        run("qemu-img", "convert", "-f", of, "-O", "raw", base, "raw")
        with open("piece", "wb") as f:
            f.write((contents("raw")[start:start + length]
                     + bytes(length))[:length])
        os.unlink("raw")
        run("qemu-io", "-f", format, "-c",
            "write -q -s piece %d %d" % (start, length), name)

    def forget(self):
        """The last bitmap but one is cleared by hand, after a write."""
        name = self.checkpoints[-2] if len(self.checkpoints) > 1 \
            else self.checkpoints[-1]
        self.change(2)
        *before, image = self.disk.words(alone=True)
        run("qemu-img", "bitmap", *before, "--remove", image, name)
        self.disk.add_bitmap(name, self.granularity)

    def hide(self):
        """Who knows no bitmaps writes to a raw file that is part of the disk."""
        for image in self.disk.all_below():
            path = image.data or image.path
            raw = image.data or image.format in images.RAW
            if raw and image.key is None:
                at = self.anywhere()
                if at + SECTOR <= os.path.getsize(path) or "loop" in path:
                    run("qemu-io", "-f", "raw", "-c",
                        "write -q -P 201 %d %d" % (at, SECTOR), path)
                return

    def break_something(self):
        """Returns the name of a fault."""
        fault = self.rng.choice(["none", "none", "none", "flip", "flip below",
                                 "lose", "forget", "hide", "later"])
        newest = self.backups[-1]
        if os.environ.get("GOOD"):
            fault = "none"
        if fault == "flip":
            self.flip(*newest)
        elif fault == "flip below":
            self.flip(*self.rng.choice(self.backups))
        elif fault == "lose":
            self.lose(*newest)
        elif fault == "forget":
            self.forget()
        elif fault == "hide":
            self.hide()
        elif fault == "later":
            self.change(3)
        return fault


def play(seed, counts):
    rng = random.Random(seed)
    history = History(rng)
    fault = history.break_something()
    backup, format = history.backups[-1]
    checkpoints = history.checkpoints
    truth = Truth(history.disk, backup, format, checkpoints)
    before = history.disk.contents() + [contents(b) for b, _ in history.backups]
    common = [backup, "--file=disk.qcow2", "--backup-format=" + format] \
        + ["--" + word for word in images.secret_words(rng)]
    for since, taken in [(None, None), (None, checkpoints[-1]),
                         (rng.choice(checkpoints), None),
                         (checkpoints[-2], checkpoints[-1])]:
        share = rng.choice([1, 1, 0.5, 0.1])
        sample = rng.randrange(1 << 32)
        words = ["--since=%s" % since] * bool(since) \
            + ["--taken-at=%s" % taken] * bool(taken) \
            + ["--full"] * (not since and not taken)
        if share < 1:
            words += ["--sample=%g" % (100 * share), "--seed=%d" % sample]
        found = verify(*common, *words)
        wanted = truth.differing(since, taken, sample, share)
        assert {k: found[k]["differing"] for k in wanted} == wanted, (
            fault, words, wanted, found)
        short = len(truth.then) < len(truth.now) and not taken
        assert found["equal"] == (not any(wanted.values()) and not short), (
            fault, words, found)
        counts["equal" if found["equal"] else "differing"] += 1
    assert history.disk.contents() + [contents(b) for b, _ in history.backups] \
        == before, "something was changed"
    counts[fault] = counts.get(fault, 0) + 1


# ── The odds of a sample ──

def try_odds(trials):
    """Some clean blocks are wrong, which a sample finds as often as it says."""
    rng = random.Random(SEED)
    run("qemu-img", "create", "-q", "-f", "qcow2", "disk.qcow2", "64M")
    run("qemu-io", "-f", "qcow2", "-c", "write -q -P 1 0 32M", "disk.qcow2")
    run("qemu-img", "bitmap", "--add", "disk.qcow2", "c0")
    expected = variance = 0.0
    hits = 0
    for wrong, share in [(1, 25), (3, 20), (10, 5), (25, 1)]:
        run("qemu-img", "convert", "-O", "qcow2", "disk.qcow2", "backup")
        for block in rng.sample(range(512), wrong):
            run("qemu-io", "-f", "qcow2", "-c", "write -q -P 2 %d 1" % (
                block * BLOCK + rng.randrange(BLOCK)), "backup")
        for _ in range(trials // 4):
            found = verify("backup", "--file=disk.qcow2", "--since=c0",
                           "--sample=%d" % share,
                           "--seed=%d" % rng.randrange(1 << 32))
            blocks, taken = (found["sample"][k] for k in ("blocks", "sampled"))
            assert blocks == 512, found
            chance = 1 - math.comb(blocks - wrong, taken) \
                / math.comb(blocks, taken)
            for odds in found["sample"]["odds"]:
                if odds["wrong"] == wrong:
                    assert abs(odds["found"] - chance) < 1e-9, (found, chance)
            expected += chance
            variance += chance * (1 - chance)
            hits += not found["equal"]
    print("seed %d: %d trials: found %d times, by the odds %.1f ± %.1f" % (
        SEED, trials // 4 * 4, hits, expected, math.sqrt(variance)))
    # Once in two million seeds it is further away.
    assert abs(hits - expected) <= 5 * math.sqrt(variance) + 1


def main():
    os.chdir(tempfile.mkdtemp(dir="."))
    if TRIALS:
        try_odds(TRIALS)
        return
    counts = {"equal": 0, "differing": 0}
    top = os.getcwd()
    for seed in range(SEED, SEED + ROUNDS):
        os.chdir(tempfile.mkdtemp(dir=top))
        try:
            play(seed, counts)
        except BaseException:
            print("FAILED: repeat with: SEED=%d ROUNDS=1" % seed, flush=True)
            raise
        finally:
            images.release_devices()
    print("seed %d: %d rounds: %s" % (SEED, ROUNDS, ", ".join(
        "%d %s" % (n, what) for what, n in sorted(counts.items()))))


main()
