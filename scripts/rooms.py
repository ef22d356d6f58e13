#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The rooms of the house, and who may know whom, as the includes say it:
#
#   rooms.py check          what is not allowed below (status 1)
#   rooms.py draw           docs/rooms.svg, to the standard output
#
# An arrow that is new is a decision: say why in HACKING.md, add it here, and
# draw the picture again.

import os
import re
import sys

# From top to bottom, as they are drawn: what each is for, and whom it knows.  A
# name with a slash is that file only.
ROOMS = {
    "plugin": ("nbdkit's plugin", "view source parts tree map base nbdkit"),
    "filters": ("nbdkit's filter", "map parts/part-name nbdkit"),
    "tool": ("the command line",
             "view record check source filesystem tree base"),
    "nbdkit": ("its log", "base/printable"),
    "view": ("opened views: maps and bytes", "source nbd map base"),
    "source": ("where bytes and bitmaps come from",
               "keeper libvirt qemu parts nbd image tree map base"),
    "check": ("what is wrong with checkpoints",
              "source libvirt parts image tree base"),
    "record": ("changes documents and bitmaps",
               "source keeper libvirt qemu parts image tree base"),
    "qemu": ("a daemon of ours, jobs of others",
             "keeper tree image nbd base"),
    "parts": ("which bitmaps make a view", "image tree base"),
    "filesystem": ("whose a disk's bytes are", "base"),
    "nbd": ("connections, maps from them", "map base"),
    "libvirt": ("guests and jobs of libvirt's", "keeper tree base"),
    "keeper": ("the process that ends a job", "base"),
    "image": ("a disk's files", "base"),
    "tree": ("checkpoints", "base"),
    "map": ("what is dirty", ""),
    "base": ("errors, text, programs", ""),
}
ROWS = [["tool", "plugin", "nbdkit", "filters"], ["record", "check", "view"], ["source"],
        ["libvirt", "qemu", "parts"],
        ["keeper", "nbd", "image", "filesystem"], ["tree", "map"], ["base"]]
# As that of scripts/idea.py, for who reads it in dark.
STYLE = ("<style>svg{font:11px system-ui,sans-serif;color-scheme:light dark}"
         "text{text-anchor:middle;fill:#57606a}"
         ".n{font-size:14px;font-weight:600;fill:#1f2328}"
         "rect{fill:#eef;fill-opacity:.8;stroke:#6e7781}"
         ".g{fill:#fff;fill-opacity:1;stroke:none}"
         "line{stroke:#8c959f}.h{fill:#8c959f}\n"
         "@media(prefers-color-scheme:dark){text{fill:#9ba5b0}"
         ".n{fill:#e6edf3}rect{fill:#21272f}.g{fill:#0d1117}}</style>")
TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
INCLUDE = re.compile(r'^#include "([^"]+)"', re.M)
NBDKIT = re.compile(r"^#include <nbdkit", re.M)


def room_of(path):
    parts = path.split("/")
    return parts[1] if parts[0] == "common" else parts[0]


def sources():
    for folder in ("common", "plugin", "tool", "filters", "nbdkit"):
        for place, _, names in sorted(os.walk(os.path.join(TOP, folder))):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(place, name), TOP)


def read(path):
    with open(os.path.join(TOP, path)) as file:
        return file.read()


def includes():
    """(file, included) of all that are ours."""
    for path in sources():
        for included in INCLUDE.findall(read(path)):
            yield path, included


def allows(room, included):
    return any(allowed in (included.split("/")[0], included[:-2])
               for allowed in ROOMS[room][1].split())


def check():
    used, bad = set(), 0
    for path in sources():
        if path.startswith("common/") and NBDKIT.search(read(path)):
            print("%s: common/ must not know nbdkit" % path)
            bad += 1
    for path, included in includes():
        room, other = room_of(path), included.split("/")[0]
        if "/" not in included:
            print("%s: #include \"%s\" does not name its room"
                  % (path, included))
            bad += 1
        elif other in (room, "bitmap-merge"):
            continue
        elif room not in ROOMS or not allows(room, included):
            print("%s: %s must not know %s (scripts/rooms.py)"
                  % (path, room, included))
            bad += 1
        used.add((room, other))
    for room, (_, others) in ROOMS.items():
        for other in others.split():
            if (room, other.split("/")[0]) not in used:
                print("scripts/rooms.py: %s does not need %s" % (room, other))
                bad += 1
    return bad


WIDTH, BOX, TALL, GAP = 940, 210, 44, 52


def places():
    found = {}
    for row, rooms in enumerate(ROWS):
        between = (WIDTH - BOX * len(rooms)) // (len(rooms) + 1)
        for column, room in enumerate(rooms):
            found[room] = (between + column * (BOX + between),
                           10 + row * (TALL + GAP))
    return found


def draw():
    at = places()
    tall = 20 + len(ROWS) * (TALL + GAP)
    # base is known by all: those lines would say nothing.
    arrows = sorted({(room_of(path), included.split("/")[0])
                     for path, included in includes()})
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" '
        'width="%d" height="%d">' % (WIDTH, tall, WIDTH, tall),
        '<!-- Made by scripts/rooms.py from the includes. -->',
        STYLE,
        '<rect class="g" width="%d" height="%d" rx="6"/>' % (WIDTH, tall),
        '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" '
        'markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="h" d="M0 0L8 4L0 8z"/></marker></defs>']
    for start, end in arrows:
        if start == end or end in ("base", "bitmap-merge"):
            continue
        (x1, y1), (x2, y2) = at[start], at[end]
        level = y1 == y2
        lines.append(
            '<line x1="%d" y1="%d" x2="%d" y2="%d" '
            'marker-end="url(#head)"/>' % (
                x1 + (BOX if x2 > x1 and level else 0 if level else BOX // 2),
                y1 + (TALL // 2 if level else TALL),
                x2 + (0 if x2 > x1 and level else BOX if level else BOX // 2),
                y2 + (TALL // 2 if level else 0)))
    for room, (x, y) in at.items():
        lines.append(
            '<rect x="%d" y="%d" width="%d" height="%d" rx="5"/>'
            '<text class="n" x="%d" y="%d">%s/</text>'
            '<text x="%d" y="%d">%s</text>' % (
                x, y, BOX, TALL, x + BOX // 2, y + 18, room, x + BOX // 2,
                y + 34, ROOMS[room][0] + (", known by all"
                                          if room == "base" else "")))
    print("\n".join(lines + ["</svg>"]))
    return 0


sys.exit(1 if {"check": check, "draw": draw}[sys.argv[1]]() else 0)
