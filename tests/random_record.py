# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
#   random_record.py SEED     what may be recorded of a guest, in the current folder:
#                             vda.qcow2, vdb.qcow2, and perhaps tree/.  Prints what
#                             it made.
#   random_record.py views SOCKET   each view that nbdkit serves, and its map

import hashlib
import json
import os
import random
import struct
import subprocess
import sys


def run(*argv):
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


def write(r, image):
    args = ["-c", "write -q -P %d %dk 64k" % (r.randrange(1, 255), 64 * r.randrange(100))]
    if r.random() < 0.3:
        args += ["-c", "write -q -z %dk 64k" % (64 * r.randrange(100))]
    run("qemu-io", "-f", "qcow2", *args, image)


def patch_in_use(image, name):
    """As if QEMU had been killed: it lists that bitmap as inconsistent."""
    with open(image, "r+b") as f:
        head = f.read(65536)
        length, = struct.unpack(">I", head[100:104])
        at = length
        while True:
            kind, size = struct.unpack(">II", head[at:at + 8])
            if kind in (0, 0x23852875):
                break
            at += 8 + (size + 7 & ~7)
        if not kind:
            return
        size, offset = struct.unpack(">QQ", head[at + 16:at + 32])
        f.seek(offset)
        directory, at = f.read(size), 0
        while at < size:
            name_size, extra = struct.unpack(">HI", directory[at + 18:at + 24])
            begin = at + 24 + extra
            if directory[begin:begin + name_size].decode() == name:
                flags, = struct.unpack(">I", directory[at + 12:at + 16])
                f.seek(offset + at + 12)
                f.write(struct.pack(">I", flags | 1))
            at += 24 + extra + name_size + 7 & ~7


def make_void(image):
    with open(image, "r+b") as f:
        f.seek(95)
        f.write(b"\0")


def make_disk(r, target, names, legacy):
    """A chain; returns which bitmaps were not made well, for the log."""
    layers, bad, size = 1, [], 16
    images = [target + ".qcow2"]
    run("qemu-img", "create", "-q", "-f", "qcow2", images[0], "16M")
    made = []
    for name in names:
        if r.random() < 0.25 and layers < 4:     # a snapshot
            below = "%s.%d.qcow2" % (target, layers)
            os.rename(images[0], below)
            size += r.choice((0, 0, 2))
            run("qemu-img", "create", "-q", "-f", "qcow2", "-b", below, "-F", "qcow2",
                images[0], "%dM" % size)
            images.insert(1, below)
            layers += 1
            for old in made:                     # as libvirt does, mostly
                if r.random() < 0.9:
                    run("qemu-img", "bitmap", "--add", images[0], old)
        if r.random() < 0.9:
            run("qemu-img", "bitmap", "--add", images[0], name)
            if legacy and made and r.random() < 0.9:
                try:
                    run("qemu-img", "bitmap", "--disable", images[0], made[-1])
                except subprocess.CalledProcessError:
                    pass
            made.append(name)
        write(r, images[0])
    return images, made


def spoil(r, images, made):
    for _ in range(r.choice((0, 0, 1, 1, 2))):
        if not made:
            return
        kind = r.choice(("remove", "in-use", "void", "disable", "temporary", "stray"))
        image, name = r.choice(images), r.choice(made)
        print("spoil", kind, image, name)
        argv = {"remove": ("--remove", image, name), "disable": ("--disable", image, name),
                "temporary": ("--add", image, "libvirt-tmp-activewrite"),
                "stray": ("--add", image, "stray")}.get(kind)
        if kind == "in-use":
            patch_in_use(image, name)
        elif kind == "void":
            make_void(image)
        else:
            subprocess.run(("qemu-img", "bitmap") + argv, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)


def document(r, name, parent, covered, chains, time):
    disks = "".join("<disk name='%s' checkpoint='%s'%s/>" % (
        target, "bitmap" if target in covered else "no",
        " bitmap='%s'" % name if target in covered else "") for target in chains)
    files = {t: os.path.abspath(c[-1 if r.random() < 0.3 else 0]) for t, c in chains.items()}
    if r.random() < 0.1:
        files = dict(zip(files, reversed(files.values())))
    domain = "<domain type='qemu'><name>web1</name><devices>%s</devices></domain>" % "".join(
        "<disk type='file'><source file='%s'/><target dev='%s'/></disk>" % (f, t)
        for t, f in files.items())
    with open("tree/%s.xml" % name, "w") as f:
        f.write("<domaincheckpoint>\n<name>%s</name>\n%s<creationTime>%d</creationTime>\n"
                "<disks>%s</disks>\n%s\n</domaincheckpoint>\n" % (
                    name, "<parent><name>%s</name></parent>\n" % parent if parent else "",
                    time, disks, domain if r.random() < 0.5 else ""))


def make(seed):
    r = random.Random(seed)
    names = ["c%d" % i for i in range(r.randrange(1, 5))]
    legacy = r.random() < 0.4
    chains, made = {}, {}
    for target in ("vda", "vdb"):
        chains[target], made[target] = make_disk(r, target, names, legacy)
    if r.random() < 0.75:
        os.mkdir("tree")
        parent = None
        for i, name in enumerate(names):
            covered = [t for t in chains if name in made[t]] or list(chains)
            if r.random() < 0.9:
                document(r, name, parent, covered, chains, 1000 + i)
                parent = name if r.random() < 0.9 else r.choice(names)
            elif r.random() < 0.5:
                parent = name                    # which is missing
    for target in chains:
        spoil(r, chains[target], made[target])
    print("legacy" if legacy else "modern", chains, made,
          sorted(os.listdir("tree")) if os.path.isdir("tree") else "no tree")


def views(socket):
    import nbd
    names = json.loads(sys.stdin.read())
    for name in names:
        h = nbd.NBD()
        h.set_export_name(name)
        h.add_meta_context("base:allocation")
        try:
            h.connect_unix(socket)
        except nbd.Error:
            print(name, "refused")
            continue
        size, at, text = h.get_size(), 0, ""
        entries = []
        def more(context, offset, got, error):
            entries.extend(got)
        while at < size:
            entries.clear()
            h.block_status(min(size - at, 1 << 20), at, more)
            for length, flags in zip(entries[::2], entries[1::2]):
                while length > 0:                # in small pieces, however they come
                    piece = min(length, 4096 - at % 4096)
                    text += str(flags)
                    at += piece
                    length -= piece
        print(name, hashlib.md5(text.encode()).hexdigest())
        h.shutdown()


if sys.argv[1] == "views":
    views(sys.argv[2])
else:
    make(int(sys.argv[1]))
