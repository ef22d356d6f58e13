# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# For property tests: disks of every kind that is read, made and opened by QEMU
# itself: data files, LUKS, bases of other formats, over block devices, too.

import atexit
import json
import os
import shutil
import subprocess

from servers import KIB, run

FORMATS = ["raw", "file", "qcow2", "qcow2", "vmdk", "vdi", "vpc", "vhdx", "qed",
           "luks"]
RAW = ["raw", "file", "host_device"]
KEYS = ["first", "second key"]

loops = []


def release_devices():
    while loops:
        subprocess.call(["losetup", "-d", loops.pop()])


atexit.register(release_devices)


def make_keys():
    for number, key in enumerate(KEYS):
        with open("key%d" % number, "w") as f:
            f.write(key)


def secrets():
    """For QEMU's programs; they may have more than they need."""
    return [a for number in range(len(KEYS)) for a in
            ("--object", "secret,id=key%d,file=key%d" % (number, number))]


def place(rng, name, size):
    """A new file, or a block device over it, where there can be one."""
    with open(name, "wb") as f:
        f.truncate(size)
    path = os.path.abspath(name)
    if os.getuid() != 0 or rng.random() < 0.5:
        return path
    # QEMU writes whole clusters; it may be larger than the disk.
    whole = 64 * KIB
    with open(name, "r+b") as f:
        f.truncate(-(-size // whole) * whole + rng.choice([0, 0, 1024 * KIB]))
    loops.append(run("losetup", "-f", "--show", path).strip())
    return loops[-1]


def create(*args):
    """LUKS measures how fast this processor is, and cannot always."""
    for _ in range(20):
        try:
            return run("qemu-img", "create", "-q", *secrets(), *args)
        except AssertionError as error:
            if "accurate CPU usage" not in str(error):
                raise
            last = error
    raise last


class Image:
    """An image, over those below it: a list, the next one first."""

    def __init__(self, path, format, below=(), key=None, data=None):
        self.path, self.format, self.below = path, format, list(below)
        self.key, self.data = key, data
        # Made by QEMU in the names of these files.
        self.files = [path] + [data] * bool(data)

    def own_options(self):
        options = {"driver": "raw" if self.format in RAW else self.format,
                   "file.filename": self.path}
        if self.key is not None:
            options["key-secret" if self.format == "luks"
                    else "encrypt.key-secret"] = "key%d" % self.key
        return options

    def words(self, alone=False):
        """What QEMU's programs are told."""
        options = self.own_options()
        for depth, image in enumerate([] if alone else self.below):
            prefix = "backing." * (depth + 1)
            # The format and the name are recorded.
            for key, value in image.own_options().items():
                if key.endswith("key-secret"):
                    options[prefix + key] = value
        return secrets() + ["--image-opts", ",".join(
            "%s=%s" % o for o in options.items())]

    def run(self, program, *args, alone=False):
        *before, name = self.words(alone)
        return run(*program, *before, *args, name)

    def write(self, *commands):
        if commands:
            self.run(["qemu-io"], "-d", "unmap",
                     *(a for c in commands for a in ("-c", c)))

    def copy(self, path, format="qcow2"):
        *before, name = self.words()
        run("qemu-img", "convert", *before, "-O", format, name, path)

    def add_bitmap(self, name, granularity):
        *before, image = self.words(alone=True)
        run("qemu-img", "bitmap", *before, "--add", "-g", str(granularity),
            image, name)

    def contents(self):
        found = []
        for name in [f for i in [self] + self.below for f in i.files]:
            with open(name, "rb") as f:
                found.append(f.read())
        return found

    def size(self):
        *before, name = self.words(alone=True)
        return json.loads(run("qemu-img", "info", "--output=json", *before,
                              name))["virtual-size"]

    def all_below(self):
        return [self] + self.below


def make_base(rng, size):
    """An image of any format, written to all over."""
    format = rng.choice(FORMATS)
    path, options, key = "base.img", [], None
    if format == "luks":
        key = rng.randrange(len(KEYS))
        options = ["key-secret=key%d" % key, "iter-time=10"]
    elif format in ("vdi", "vpc", "vhdx") and rng.random() < 0.3:
        options = {"vdi": ["static=on"], "vpc": ["subformat=fixed"],
                   "vhdx": ["subformat=fixed"]}[format]
    elif format == "qcow2":
        options = [rng.choice(["compat=0.10", "compat=1.1"])]
    elif format in RAW:
        path = place(rng, path, size)
        if format == "file" and path in loops:
            format = "host_device"
    if format not in RAW:
        create("-f", format, *(["-o", ",".join(options)] * bool(options)),
               path, str(size))
    return Image(path, format, key=key)


def make_image(rng, path, size, cluster, below=()):
    """A qcow2 image of any kind.  Returns it and what kind it is."""
    kind = rng.choice(["plain", "data", "data", "raw data", "luks", "luks data"]
                      + ["plain"] * 3)
    # What is raw reads as it is, so nothing can be below it.
    if kind == "raw data" and below:
        kind = "data"
    options, key, data = [], None, None
    extended = rng.random() < 0.35
    if extended:
        options = ["extended_l2=on"]
        cluster = rng.choice([16, 32, 64, 128, 2048]) * KIB
    options += ["cluster_size=%d" % cluster]
    if kind.endswith("data"):
        data = place(rng, path + ".data", size)
        options += ["data_file=" + data, "data_file_raw="
                    + ("on" if kind == "raw data" else "off")]
    if kind.startswith("luks"):
        key = rng.randrange(len(KEYS))
        options += ["encrypt.format=luks", "encrypt.key-secret=key%d" % key,
                    "encrypt.iter-time=10"]
    backing = ["-b", below[0].path, "-F", below[0].format] if below else []
    create("-u", "-f", "qcow2", *backing, "-o", ",".join(options), path,
           str(size))
    what = kind + ", subclusters" if extended else kind
    return Image(path, "qcow2", below, key, data), what


def make_disk(rng, path, size, cluster, change):
    """An image over up to two others, each changed by change(image, size)."""
    make_keys()
    layers, kinds = [], []
    if rng.random() < 0.5:
        layers = [make_base(rng, max(512, size + rng.choice(
            [0, 0, 512 * KIB, -512 * KIB])) // 512 * 512)]
        kinds = [layers[0].format]
        change(layers[0], layers[0].size())
        if rng.random() < 0.4:
            middle, kind = make_image(rng, "middle.qcow2", size, 64 * KIB,
                                      layers)
            layers.insert(0, middle)
            kinds.insert(0, kind)
            change(middle, size)
    top, kind = make_image(rng, path, size, cluster, layers)
    return top, [kind] + kinds


def secret_words(rng):
    """What our server is told; in any order, and more than it needs."""
    words = ["secret=%skey%d" % (rng.choice(["", "vda:"]), number)
             for number in range(len(KEYS))]
    rng.shuffle(words)
    return words
