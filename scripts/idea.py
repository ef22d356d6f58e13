#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The idea in one picture, docs/idea.svg, to the standard output: a disk from left
# to right, and from top to bottom what becomes of its blocks.

CELLS = 32
CELL, TALL = 14, 20
LEFT, TOP, STEP = 264, 18, 66
WIDTH, HEIGHT = LEFT + CELLS * CELL + 18, TOP + 3 * STEP + 70
# What the guest does after Monday: from which cell, how many, what.
WRITES = [(3, 2, "d"), (9, 1, "d"), (12, 4, "z"), (19, 3, "d"), (25, 1, "d"),
          (28, 2, "z")]
USED = [(0, 18), (19, 7), (27, 4)]
ROWS = [("monday.qcow2", "the full backup"),
        ("checkpoint monday", "QEMU records what is written after it"),
        ("export vda@monday", "nbdkit: only that is allocated"),
        ("tuesday.qcow2", "qemu-img convert -B copies just that")]
STYLE = """\
<style>svg{font:12px system-ui,sans-serif;color-scheme:light dark}
.b{fill:#fff}.t{fill:#1f2328;font-size:14px;font-weight:600}.s{fill:#57606a}
.u{fill:#c3cad3}.e{fill:none;stroke:#d5dae0}.d{fill:#dc6b16}.z{fill:#0a66c2}
.f{fill:#eceff2}.a{stroke:#8c959f;fill:none}
@media(prefers-color-scheme:dark){.b{fill:#0d1117}.t{fill:#e6edf3}
.s{fill:#9ba5b0}.u{fill:#4a535e}.e{stroke:#2d343d}.d{fill:#e0852f}
.z{fill:#58a6ff}.f{fill:#21272f}.a{stroke:#6e7781}}</style>"""


def cells(row, first, count, kind):
    """Cells beside each other, with a gap between."""
    y = TOP + row * STEP
    height = TALL // 2 if kind == "z" else TALL
    for i in range(first, first + count):
        if kind == "e":
            yield ('<rect class="e" x="%.1f" y="%.1f" width="%d" height="%d"/>'
                   % (LEFT + i * CELL + .5, y + .5, CELL - 3, TALL - 1))
        else:
            yield ('<rect class="%s" x="%d" y="%d" width="%d" height="%d"/>'
                   % (kind, LEFT + i * CELL, y + TALL - height, CELL - 2,
                      height))


def is_written(i):
    return any(first <= i < first + count for first, count, _ in WRITES)


def row_cells(row):
    used = [i for first, count in USED for i in range(first, first + count)]
    for i in range(CELLS):
        if row == 0:
            yield from cells(row, i, 1, "u" if i in used else "e")
        elif not is_written(i):
            yield from cells(row, i, 1,
                             "f" if row == 3 and i in used else "e")
    for first, count, kind in WRITES if row else ():
        yield from cells(row, first, count, kind)


def label(row):
    name, what = ROWS[row]
    y = TOP + row * STEP
    yield '<text class="t" x="16" y="%d">%s</text>' % (y + 9, name)
    yield '<text class="s" x="16" y="%d">%s</text>' % (y + 25, what)


def falls(row):
    """From what was written there to the row below."""
    for first, count, _ in WRITES:
        x = LEFT + (first + count / 2) * CELL - 1
        y = TOP + row * STEP + TALL
        yield ('<path class="a" d="M%.1f %dv%d" marker-end="url(#h)"/>'
               % (x, y + 5, STEP - TALL - 12))


def legend():
    y = TOP + 3 * STEP + 54
    x = 16
    for kind, words, wide in (("u", "used on Monday", 134),
                              ("d", "written since", 112),
                              ("z", "zeroed since", 112),
                              ("f", "not in the file: read from monday.qcow2",
                               0)):
        height = 5 if kind == "z" else 10
        yield ('<rect class="%s" x="%d" y="%d" width="10" height="%d"/>'
               % (kind, x, y - height + 1, height))
        yield '<text class="s" x="%d" y="%d">%s</text>' % (x + 15, y, words)
        x += wide


def draw():
    yield ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" '
           'width="%d" height="%d" role="img" aria-labelledby="t d">'
           % (WIDTH, HEIGHT, WIDTH, HEIGHT))
    yield "<!-- Made by scripts/idea.py. -->"
    yield '<title id="t">The idea</title>'
    yield ('<desc id="d">A full backup on Monday; QEMU records which blocks are '
           'written after the checkpoint monday; nbdkit serves an export on '
           'which only these are allocated; qemu-img convert copies them into '
           'tuesday.qcow2, and leaves the rest to monday.qcow2 below.</desc>')
    yield STYLE
    yield ('<defs><marker id="h" viewBox="0 0 8 8" refX="7" refY="4" '
           'markerWidth="6" markerHeight="6" orient="auto">'
           '<path class="a" d="M1 1L7 4L1 7"/></marker></defs>')
    yield '<rect class="b" width="%d" height="%d" rx="6"/>' % (WIDTH, HEIGHT)
    for row in range(len(ROWS)):
        yield from label(row)
        yield from row_cells(row)
        if 0 < row < len(ROWS) - 1:
            yield from falls(row)
    yield from legend()
    yield "</svg>"


print("\n".join(draw()))
