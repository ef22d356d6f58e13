# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Plots, as SVG, with logarithmic axes.
import html
import math

import loads_far
import loads_growth
import loads_random

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 400, 70, 190, 40, 50
COLOURS = ["#0060a0", "#c04000", "#208040", "#803080"]
TITLES = loads_growth.titles | loads_far.titles | loads_random.titles
STYLE = "font-family='sans-serif' font-size='12'"


def series_of(results):
    """{plot: {series: [(x, median)]}}"""
    plots = {}
    for result in results:
        for way in result.ways.values():
            if way.point and way.samples:
                plot, series, x = way.point
                plots.setdefault(plot, {}).setdefault(series, []).append(
                    (x, way.median()))
    return plots


def decades(low, high):
    return [10.0 ** n for n in range(math.floor(math.log10(low)),
                                     math.ceil(math.log10(high)) + 1)]


class Axes:
    def __init__(self, points):
        xs, ys = zip(*points)
        self.zero = min((x for x in xs if x > 0), default=1) / 4
        self.x0 = min(xs) or self.zero
        self.x1 = max(max(xs), self.x0 * 2)
        self.ticks = decades(min(ys), max(ys) * 1.01)
        self.xs = sorted(set(xs))

    def x(self, value):
        """0, which has no logarithm, is a step to the left of the others."""
        return LEFT + (WIDTH - LEFT - RIGHT) * (
            math.log((value or self.zero) / self.x0)
            / math.log(self.x1 / self.x0))

    def y(self, value):
        low, high = self.ticks[0], self.ticks[-1]
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (
            math.log(value / low) / math.log(high / low))


def text(x, y, what, anchor="middle", colour="#000"):
    return "<text x='%.0f' y='%.0f' text-anchor='%s' fill='%s' %s>%s</text>" \
        % (x, y, anchor, colour, STYLE, html.escape(what))


def line(x0, y0, x1, y1):
    return "<line x1='%.0f' y1='%.0f' x2='%.0f' y2='%.0f' stroke='#ccc'/>" \
        % (x0, y0, x1, y1)


def svg(title, x_title, unit, series):
    axes = Axes([point for points in series.values() for point in points])
    out = ["<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' "
           "viewBox='0 0 %d %d'>" % (WIDTH, HEIGHT, WIDTH, HEIGHT),
           "<rect width='100%' height='100%' fill='#fff'/>",
           text(WIDTH / 2, 20, title)]
    for y in axes.ticks:
        out.append(line(LEFT, axes.y(y), WIDTH - RIGHT, axes.y(y)))
        out.append(text(LEFT - 6, axes.y(y) + 4, "%g %s" % (y, unit), "end"))
    for x in axes.xs:
        out.append(line(axes.x(x), TOP, axes.x(x), HEIGHT - BOTTOM))
        out.append(text(axes.x(x), HEIGHT - BOTTOM + 16, f"{x:,}"))
    out.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, x_title))
    for number, (name, points) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [(axes.x(x), axes.y(y)) for x, y in points]
        out.append("<polyline fill='none' stroke='%s' stroke-width='2' "
                   "points='%s'/>" % (colour, " ".join(
                       "%.1f,%.1f" % place for place in places)))
        out.extend("<circle cx='%.1f' cy='%.1f' r='3' fill='%s'/>"
                   % (x, y, colour) for x, y in places)
        out.append(text(WIDTH - RIGHT + 10, TOP + 20 + 18 * number, name,
                        "start", colour))
    return "\n".join(out + ["</svg>", ""])


def write_all(results, prefix):
    """Writes PREFIX-PLOT.svg; returns (title, file) of each."""
    written = []
    for name, series in series_of(results).items():
        title, x_title, unit = TITLES[name]
        path = "%s-%s.svg" % (prefix, name)
        with open(path, "w") as file:
            file.write(svg(title, x_title, unit, series))
        written.append((title, path))
    return written
