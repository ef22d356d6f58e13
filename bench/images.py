# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The disks that loads are made of, and what is right for them.
import os
import random
import struct

KiB, MiB, GiB, TiB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
BLOCK = 64 * KiB
BITMAP = "chk"
CONTEXT = "qemu:dirty-bitmap:" + BITMAP


def create(lab, path, size, *options):
    lab.run("qemu-img", "create", "-q", "-f", "qcow2", *options, path,
            *([str(size)] if size else []))


def add_bitmap(lab, path):
    lab.run("qemu-img", "bitmap", "--add", "-g", "64k", path, BITMAP)


def write_blocks(client, offsets, length, seed):
    """Random bytes, other ones at each offset, with 16 writes under way."""
    filler = random.Random(seed).randbytes(length)
    waiting = []
    for offset in offsets:
        data = struct.pack("<QQ", offset + 1, seed) + filler[16:]
        waiting.append(client.aio_pwrite(data, offset))
        while len(waiting) >= 16:
            client.poll(-1)
            waiting = [cookie for cookie in waiting
                       if not client.aio_command_completed(cookie)]
    while waiting:
        client.poll(-1)
        waiting = [cookie for cookie in waiting
                   if not client.aio_command_completed(cookie)]


def all_dirty(lab, path):
    """4 GiB, of which 2 GiB are written after the checkpoint."""
    create(lab, path, 4 * GiB)
    add_bitmap(lab, path)
    lab.write(path, lambda client: write_blocks(
        client, range(0, 2 * GiB, MiB), MiB, 1))


def all_dirty_raw(lab, path):
    lab.run("qemu-img", "convert", "-O", "raw",
            lab.image("all-dirty", all_dirty), path)


FRAG_SIZE = 4 * GiB


def dirty_blocks(size):
    """Every other 64 KiB."""
    return lambda client: write_blocks(
        client, range(BLOCK, size, 2 * BLOCK), BLOCK, 2)


SUBCLUSTERS = ("-o", "extended_l2=on,cluster_size=128k")


def frag(lab, path, size=FRAG_SIZE, *options):
    """Data, of which every other 64 KiB is written again."""
    create(lab, path, size, *options)
    lab.write(path, lambda client: write_blocks(
        client, range(0, size, MiB), MiB, 1))
    add_bitmap(lab, path)
    lab.write(path, dirty_blocks(size))


def frag_subclusters(lab, path):
    """As half a disk of frag, over nothing."""
    frag(lab, path, FRAG_SIZE // 2, *SUBCLUSTERS)


def frag_half(lab, path):
    frag(lab, path, FRAG_SIZE // 2)


def frag_sparse(lab, path, size=FRAG_SIZE):
    """Holds what is dirty in frag, and nothing else."""
    create(lab, path, size)
    lab.write(path, dirty_blocks(size))


CHAIN_LAYERS = 5


def chain_layer(number):
    def build(lab, path):
        if number == 0:
            create(lab, path, 2 * GiB)
            lab.write(path, lambda client: write_blocks(
                client, range(0, GiB, MiB), MiB, 9))
        else:
            create(lab, path, 0, "-F", "qcow2", "-b",
                   lab.image("chain%d" % (number - 1),
                             chain_layer(number - 1)))
        add_bitmap(lab, path)
        chosen = random.Random(number).sample(range(2 * GiB // BLOCK), 3000)
        lab.write(path, lambda client: write_blocks(
            client, [BLOCK * n for n in sorted(chosen)], BLOCK, number))
    return build


def chain(lab):
    """Layers with 3,000 dirty blocks each; the top one is returned."""
    top = CHAIN_LAYERS - 1
    return lab.image("chain%d" % top, chain_layer(top))


chain_names = ["chain%d" % number for number in range(CHAIN_LAYERS)]


def sparse_with_runs(lab, path, size, runs):
    """A qcow2 without data, in whose bitmap that many blocks are dirty, at even
    distances.  One block is written in what each cluster of the bitmap covers,
    so that QEMU allocates it; then the bits are put into the file."""
    create(lab, path, size)
    add_bitmap(lab, path)
    covered = 8 * 65536 * BLOCK
    lab.write(path, lambda client: [
        client.zero(BLOCK, offset) for offset in range(0, size, covered)])
    step = size // BLOCK // runs
    if step >= 8:
        pattern = b"\2" + bytes(step // 8 - 1)
    else:
        pattern = {2: b"\xaa", 4: b"\x22"}[step]
    patch_bitmap(path, size, pattern)


def patch_bitmap(path, size, pattern):
    with open(path, "r+b") as file:
        table, entries = find_bitmap(file)
        position = 0
        for number in range(entries):
            file.seek(table + 8 * number)
            offset = struct.unpack(">Q", file.read(8))[0]
            assert offset > 1, "cluster of bitmap is not allocated"
            length = min(65536, size // BLOCK // 8 - 65536 * number)
            shift = position % len(pattern)
            whole = pattern[shift:] + pattern * (length // len(pattern) + 1)
            file.seek(offset)
            file.write(whole[:length])
            position += length


def find_bitmap(file):
    """Where the table of the only bitmap is, and how long."""
    file.seek(100)
    at = struct.unpack(">I", file.read(4))[0]
    while True:
        file.seek(at)
        kind, length = struct.unpack(">II", file.read(8))
        if kind == 0x23852875:
            directory = struct.unpack(">IIQQ", file.read(24))[3]
            file.seek(directory)
            return struct.unpack(">QI", file.read(12))
        assert kind != 0, "no bitmap in " + os.path.basename(file.name)
        at += 8 + (length + 7) // 8 * 8


def null_with_runs(lab, size, runs):
    """A storage daemon with a disk of that size that costs nothing, and has
    the bitmap of sparse_with_runs, which is merged into it."""
    file = lab.new(".qcow2")
    sparse_with_runs(lab, file, size, runs)
    daemon = lab.storage_daemon(
        "--blockdev", "null-co,node-name=disk,size=%d" % size,
        "--blockdev", "qcow2,node-name=from,read-only=on,file.driver=file,"
        "file.filename=" + file)
    daemon.qmp("block-dirty-bitmap-add", node="disk", name=BITMAP,
               granularity=BLOCK, disabled=True)
    daemon.qmp("block-dirty-bitmap-merge", node="disk", target=BITMAP,
               bitmaps=[{"node": "from", "name": BITMAP}])
    daemon.qmp("block-export-add", type="nbd", id="e", node_name="disk",
               name="", bitmaps=[BITMAP])
    daemon.qmp("blockdev-del", node_name="from")
    os.unlink(file)
    return daemon
