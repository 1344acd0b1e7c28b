"""How long charts take: `python benchmarks/charts.py [--repeat 50]`.

Medians and the fastest of several repetitions, in milliseconds of wall time: smoothing, reducing and drawing four noisy
series in braille, a stacked area, and the same as SVG. The last column is the time that the dashboard may take; the
exit code is 1 if a median is above it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from domcli.charts import Axis, Chart, Mark, Series, Stack, Target, draw, to_svg
from domcli.charts.reduce import reduce

CELLS = (80, 20)
"""Columns and rows of a chart in the dashboard."""
SIZE = f"{CELLS[0]} x {CELLS[1]}"
FULL_SCREEN = (300, 90)
Case = tuple[str, Callable[[], object], float | None]


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description="Time the drawing of charts.")
    parser.add_argument("--repeat", type=int, default=50, help="repetitions of each case (default: 50)")
    options = parser.parse_args()
    print(f"{'milliseconds':44}{'median':>8}{'fastest':>9}{'at most':>9}")
    slow = 0
    for name, work, most in _cases():
        median, fastest = _measure(work, max(1, options.repeat))
        slow += most is not None and median > most
        print(f"{name:44}{median:8.2f}{fastest:9.2f}{'' if most is None else f'{most:.0f}':>9}", flush=True)
    return 1 if slow else 0


def _cases() -> Iterator[Case]:
    yield from _line_cases(300, 3.0)
    yield from _line_cases(60_000, 10.0)
    shaded, solid = _proportions(300, solid=False), _proportions(300, solid=True)
    yield f"stack of 300 epochs: draw {SIZE}", lambda: draw(shaded, *CELLS), 3.0
    yield f"stack of 300 epochs, solid: draw {SIZE}", lambda: draw(solid, *CELLS), 3.0
    yield "stack of 300 epochs: SVG", lambda: to_svg(shaded), None


def _line_cases(points: int, most: float) -> Iterator[Case]:
    chart = _curves(points)
    smoothed = replace(chart, series=_smoothed(chart))
    name = f"4 series of {points:,} points"
    yield f"{name}: smooth", lambda: _smoothed(chart), None
    yield f"{name}: reduce", lambda: [_reduced(series, 2 * CELLS[0]) for series in chart.series], None
    yield f"{name}: draw {SIZE}", lambda: draw(chart, *CELLS), most
    yield f"{name}: draw, raw lines too", lambda: draw(smoothed, *CELLS), None
    yield f"{name}: draw {FULL_SCREEN[0]} x {FULL_SCREEN[1]}", lambda: draw(chart, *FULL_SCREEN), None
    yield f"{name}: SVG", lambda: to_svg(chart), None


def _curves(points: int) -> Chart:
    """Return two runs, each with a natural and a robust curve that fall noisily from 2 and 3 to about 0."""
    noise = np.random.default_rng(0).normal(0, 0.05, (4, points))
    x = np.arange(1.0, points + 1)
    fall = np.exp(-3 * x / points)
    natural = tuple(Series(f"run {run} natural", x, 2 * fall + noise[run], run) for run in (0, 1))
    robust = tuple(Series(f"run {run} robust", x, 3 * fall + noise[2 + run], run, "dashed") for run in (0, 1))
    return Chart(
        natural + robust, marks=(Mark(points / 2, "DOM on"),), targets=(Target(0.5, "paper"),), cursor=points / 3
    )


def _proportions(epochs: int, solid: bool) -> Chart:
    """Return six loss ranges, out of which the patterns move downwards over the epochs."""
    x = np.arange(1.0, epochs + 1)
    shares = np.exp(-((np.arange(6) - 5 * np.exp(-3 * x[:, None] / epochs)) ** 2))
    stack = Stack(x, shares, ("[0, 0.5)", "[0.5, 1)", "[1, 1.5)", "[1.5, 2)", "[2, 2.5)", "[2.5, inf)"), solid=solid)
    return Chart(stack=stack, y=Axis("percent"))


def _smoothed(chart: Chart) -> tuple[Series, ...]:
    return tuple(series.smoothed(0.9) for series in chart.series)


def _reduced(series: Series, columns: int) -> object:
    return reduce(series.x, series.y, (float(series.x[0]), float(series.x[-1])), columns)


def _measure(work: Callable[[], object], repeat: int) -> tuple[float, float]:
    """Return median and fastest time, milliseconds, after one run that is not counted."""
    work()
    times = []
    for _ in range(repeat):
        began = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - began))
    return statistics.median(times), min(times)


if __name__ == "__main__":
    sys.exit(main())
