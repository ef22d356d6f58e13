#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The pictures in README: a day in the life of an ext4 file system, as
# qemu-checkpoint map shows it.  Needs e2fsprogs, QEMU's programs and
# python3-libnbd, and no root.
#
#   pictures.py TOOL FOLDER   makes FOLDER/map.txt and FOLDER/map.svg
#   pictures.py TOOL          puts them into README.md and docs/map.svg
import os
import random
import subprocess
import sys
import tempfile
import time

import nbd

SIZE = 256 << 20
BLOCK = 4096
MIB = 1 << 20
KIB = 1 << 10
FEATURES = ("none,has_journal,ext_attr,dir_index,filetype,extent,64bit,"
            "flex_bg,sparse_super,large_file,huge_file,extra_isize,"
            "metadata_csum")
TITLE = "### Where a disk changed"

root = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
rng = random.Random(2026)
# Debian has these where ordinary users do not look.
os.environ["PATH"] += ":/usr/sbin:/sbin"


def run(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, **options).stdout


def change(disk, commands):
    """By debugfs, which puts the same files into the same blocks each time."""
    run("debugfs", "-w", "-f", "-", disk, input="\n".join(commands) + "\n")


def new_file(name, size):
    """What puts it there, in a folder of the file system."""
    path = name.replace("/", "_")
    with open(path, "wb") as f:
        f.write(rng.randbytes(size))
    return "write %s %s" % (path, name)


def make(disk):
    """A small server: programs, a database, logs, and what can go."""
    with open(disk, "wb") as f:
        f.truncate(SIZE)
    run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-O", FEATURES,
        "-J", "size=16", "-N", "8192", "-m", "0", "-U",
        "8c5a1b0e-5d3f-4a57-9a43-0a1d5a0c9e11", "-E",
        "hash_seed=8c5a1b0e-5d3f-4a57-9a43-0a1d5a0c9e12,lazy_itable_init=0,"
        "lazy_journal_init=0,root_owner=0:0,nodiscard", disk)
    commands = ["mkdir " + name
                for name in ("lib", "log", "db", "cache", "home")]
    commands += [new_file("lib/%03d.so" % i, rng.randrange(40, 900) * KIB)
                 for i in range(160)]
    commands.append(new_file("db/orders", 72 * MIB))
    commands += [new_file("cache/%02d" % i, 3 * MIB) for i in range(16)]
    commands += [new_file("home/%02d" % i, rng.randrange(1, 4) * MIB)
                 for i in range(30)]
    commands.append(new_file("log/yesterday", 9 * MIB))
    change(disk, commands)


def blocks_of(disk, name):
    return [int(word) for word in
            run("debugfs", "-R", "blocks " + name, disk).split()]


def work(disk):
    """A day: the database is written here and there, a program is upgraded, a
    log grows, a cache is emptied, and what is free is discarded."""
    blocks = blocks_of(disk, "db/orders")
    with open(disk, "r+b") as f:
        for _ in range(260):
            at = int(rng.triangular(0, len(blocks), len(blocks) * .8))
            f.seek(blocks[min(at, len(blocks) - 1)] * BLOCK)
            f.write(rng.randbytes(BLOCK))
    upgraded = range(40, 58)
    commands = ["rm lib/%03d.so" % i for i in upgraded]
    commands += [new_file("lib/%03d.so.2" % i, rng.randrange(60, 900) * KIB)
                 for i in upgraded]
    commands += ["rm cache/%02d" % i for i in range(11)]
    commands.append(new_file("log/today", 14 * MIB))
    change(disk, commands)
    subprocess.run(["e2fsck", "-fy", "-E", "discard", disk],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run("e2fsck", "-fn", disk)


def differences(before, after):
    """Where blocks differ: [offset, bytes of data, or how many zeroes]."""
    found = []
    with open(before, "rb") as f, open(after, "rb") as g:
        for offset in range(0, SIZE, BLOCK):
            old, new = f.read(BLOCK), g.read(BLOCK)
            if old == new:
                continue
            is_zero = not any(new)
            last = found[-1] if found else None
            if is_zero and last and not isinstance(last[1], bytes) \
                    and last[0] + last[1] == offset:
                last[1] += BLOCK
            else:
                found.append([offset, BLOCK if is_zero else new])
    return found


def write_as_guest(image, before, after):
    """To the image, what a guest would have written meanwhile."""
    socket = os.path.abspath("write.sock")
    server = subprocess.Popen(["qemu-nbd", "-f", "qcow2", "-k", socket,
                               "--discard=unmap", image])
    client = nbd.NBD()
    for tries in range(600):        # its file is there before anybody listens
        try:
            client.connect_unix(socket)
            break
        except nbd.Error:
            if tries == 599 or server.poll() is not None:
                raise
            client = nbd.NBD()
            time.sleep(0.05)
    for offset, content in differences(before, after):
        if isinstance(content, bytes):
            client.pwrite(content, offset)
        else:                       # a guest discards all of it at once
            client.zero(content, offset)
    client.flush()
    client.shutdown()
    if server.wait() != 0:
        raise OSError("qemu-nbd failed")


def draw(tool, text, svg):
    """In a folder of its own, which is left behind."""
    make("before.raw")
    run("cp", "--sparse=always", "before.raw", "after.raw")
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "before.raw",
        "web1.qcow2")
    run("qemu-img", "bitmap", "--add", "web1.qcow2", "monday")
    work("after.raw")
    write_as_guest("web1.qcow2", "before.raw", "after.raw")
    run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", "after.raw",
        "web1.qcow2")
    environment = dict(os.environ, LC_ALL="C.UTF-8", COLUMNS="80")
    picture = run(tool, "map", "monday", "--file=web1.qcow2", "--text",
                  env=environment)
    with open(text, "w", encoding="utf-8") as f:
        f.write(picture)
    run(tool, "map", "monday", "--file=web1.qcow2", "--svg=" + svg)


def put_into_readme(text):
    path = os.path.join(root, "README.md")
    with open(path, encoding="utf-8") as f:
        lines = f.read().split("\n")
    with open(text, encoding="utf-8") as f:
        picture = f.read().splitlines()
    first = lines.index("```text", lines.index(TITLE)) + 1
    lines[first:lines.index("```", first)] = picture
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(lines))


def main():
    tool = os.path.abspath(sys.argv[1])
    folder = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory() as own:
        os.chdir(own)
        text = os.path.join(folder or own, "map.txt")
        draw(tool, text, os.path.join(folder or os.path.join(root, "docs"),
                                      "map.svg"))
        if not folder:
            put_into_readme(text)


main()
