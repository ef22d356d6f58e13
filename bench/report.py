# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Tables of results, in Markdown.
import os
import platform
import re
import subprocess
import time


def number(value):
    return "-" if value is None else "%.*f" % (
        3 if value < 1 else 2 if value < 100 else 0, value)


def table(titles, rows):
    rows = [titles] + [list(row) for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(titles))]
    lines = ["| %s |" % " | ".join(
        cell.ljust(width) for cell, width in zip(row, widths))
        for row in rows]
    lines.insert(1, "|%s|" % "|".join("-" * (width + 2) for width in widths))
    return "\n".join(lines) + "\n"


def percent(share):
    return "-" if share is None else "%.0f %%" % (100 * share)


def verdict(ratio, limit):
    if ratio is None:
        return "not measured"
    return "yes" if ratio <= limit else "no"


def section(result):
    """All ways of one load."""
    load = result.load
    first = next(iter(result.ways), None)
    ours = {other: way for way, other, _ in load.targets}
    rows = []
    for name, way in result.ways.items():
        if not way.samples:
            rows.append((name, "failed", "", "0", "", ""))
            continue
        # What differs in size is not compared, unless a target says so.
        against = way.ours or ours.get(name, name if way.point else first)
        mine = result.ways[against].median()
        ratio = None
        if against != name and mine and way.median():
            ratio = mine / way.median()
        rows.append((name, number(way.median()), "%s … %s" % (
            number(min(way.samples)), number(max(way.samples))),
            str(len(way.samples)), number(ratio), percent(way.busy())))
    text = "## %s\n\n%s\n\n" % (load.name, load.title)
    if rows:
        text += table(["way", "median, " + load.unit, "min … max", "runs",
                       "ours ÷ this", "busy"], rows)
    for name, error in result.errors.items():
        text += "\nFAILED: %s: %s\n" % (name, error)
    return text


def targets(results):
    rows = [(result.load.name, ours, other or "(its own value)",
             number(ratio), "≤ %s" % limit, verdict(ratio, limit),
             percent(result.ways[ours].busy() if ours in result.ways else None))
            for result in results
            for ours, other, ratio, limit in result.ratios()]
    if not rows:
        return ""
    return "## Targets\n\n" + table(
        ["load", "ours", "against", "ratio", "target", "reached", "busy"],
        rows)


def first_line(*command):
    try:
        out = subprocess.run(command, capture_output=True).stdout
    except OSError:
        return "none"
    return re.sub(r" \(.*", "", out.decode().splitlines()[0]) if out else "?"


def machine():
    model = "?"
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) / (1 << 20)
    return "%d cores of %s, %.0f GiB, Linux %s; %s; QEMU %s; libnbd %s" % (
        os.cpu_count(), model, memory, platform.release(),
        first_line("nbdkit", "--version"),
        first_line("qemu-img", "--version").replace("qemu-img version ", ""),
        first_line("nbdinfo", "--version").replace("nbdinfo ", ""))


def whole(results, runs):
    return """# Measurements

Made by `bench/run` on %s: medians of %d runs, in which all ways take turns.
%s.  Images are on tmpfs, but for the loads cache-.  In "ours ÷ this", less than 1 means that ours is
faster.  "busy" is how much of all processors' time went into the runs, ours in the first table: near 100 %%,
nothing but less work would be faster.

%s
%s""" % (time.strftime("%Y-%m-%d"), runs, machine(), targets(results),
         "\n".join(map(section, results)))


def links(plots):
    return "".join("\n![%s](%s)\n" % (title, os.path.basename(path))
                   for title, path in plots)


FINDINGS = "# What was found\n"


def findings(path):
    """What people wrote at the end of an earlier file."""
    try:
        with open(path) as file:
            text = file.read()
    except FileNotFoundError:
        return ""
    start = text.find("\n" + FINDINGS)
    return text[start:] if start >= 0 else ""
