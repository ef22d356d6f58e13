# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Loads, the ways to do each, and measuring these in turn.
import os
import statistics
import subprocess
import sys
import time

loads = {}


class Wrong(Exception):
    """What was measured gave a wrong answer."""


class Load:
    """What is measured: build (lab) returns its ways, by name."""

    def __init__(self, name, title, build, unit, targets, images, times):
        self.name, self.title, self.build = name, title, build
        self.unit, self.targets, self.images = unit, targets, images
        self.times = times


class Way:
    """One way to do it.

    run () does it once; what it takes is measured, unless it returns a number
    itself.  check () is called once before, and raises Wrong.  before () is
    called before each run.  most: how often to run it if it is slow.  point:
    (plot, series, x) if it is in a plot.  ours: the name of the way that it is
    compared with in the table, where no target says so.
    """

    def __init__(self, run, check=None, before=None, most=None, point=None,
                 ours=None):
        self.run, self.check, self.before = run, check, before
        self.most, self.point, self.ours = most, point, ours
        self.samples = []
        self.took = self.worked = 0

    def measure(self):
        if self.before:
            self.before()
        worked, start = processor_time(), time.monotonic()
        own = self.run()
        took = time.monotonic() - start
        self.worked += processor_time() - worked
        self.took += took
        self.samples.append(own if isinstance(own, float) else took)

    def busy(self):
        """The share of all processors' time that went into its runs."""
        if not self.took:
            return None
        return self.worked / self.took / os.cpu_count()

    def median(self):
        return statistics.median(self.samples) if self.samples else None


class Result:
    def __init__(self, load):
        self.load, self.ways, self.errors = load, {}, {}

    def ratios(self):
        """(ours, other, ratio or None, limit): each target; of a single way,
        its value."""
        for ours, other, limit in self.load.targets:
            values = [self.ways[name].median()
                      if name in self.ways else None
                      for name in (ours, other) if name]
            if None in values:
                yield ours, other, None, limit
            elif other is None:
                yield ours, None, values[0], limit
            else:
                yield ours, other, values[0] / values[1], limit


def processor_time():
    """Seconds, of all processors and everything on them (proc_stat(5)): user,
    nice and system, then irq, softirq and steal; not idle and iowait."""
    with open("/proc/stat") as file:
        times = [int(ticks) for ticks in file.readline().split()[1:9]]
    return (sum(times) - times[3] - times[4]) / os.sysconf("SC_CLK_TCK")


def load(name, title, unit="s", targets=(), images=(), times=1):
    """Registers a function as the build () of a load.

    targets: (way, other way, limit of their ratio); without another way, the
    limit of its value.
    times: so many more runs than are asked for, of what is close to its limit.
    """
    def register(build):
        loads[name] = Load(name, title, build, unit, targets, images,
                           times)
        return build
    return register


def run(which, lab, runs):
    """Each way once, then each again…, beginning with another one each time."""
    result = Result(which)
    runs *= which.times
    print("%s…" % which.name, file=sys.stderr, flush=True)
    with lab.servers():
        try:
            result.ways = which.build(lab)
            for name, way in result.ways.items():
                attempt(result, name, way.check)
            for number in range(runs):
                names = list(result.ways)
                turn = number % max(1, len(names))
                for name in names[turn:] + names[:turn]:
                    way = result.ways[name]
                    most = runs if way.most is None else way.most
                    if len(way.samples) < min(runs, most):
                        attempt(result, name, way.measure)
        except (Wrong, subprocess.SubprocessError, OSError) as error:
            result.errors["all"] = describe(error)
    return result


def attempt(result, name, function):
    """A way that fails is not measured any more, and has no result."""
    if function is None or name in result.errors:
        return
    try:
        function()
    except (Wrong, subprocess.SubprocessError, OSError) as error:
        result.errors[name] = describe(error)
        result.ways[name].samples.clear()
        result.ways[name].most = 0


def describe(error):
    output = b"".join((getattr(error, name, None) or b"")[-300:]
                      for name in ("stdout", "stderr"))
    output = output.decode(errors="replace")
    return " ".join(("%s %s" % (error, output)).split())


def expect(got, wanted, what):
    if got != wanted:
        raise Wrong("%s: got %r, not %r" % (what, got, wanted))
