"""What is plotted: one curve with its gaps, its band and its faint raw line; smoothing, and seeds brought together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Indices = NDArray[np.int64]
Key = int | str
"""A colour, to be looked up by the caller: a number is an index into a palette, a text the name of a role."""
FARTHEST = 1e300
"""Axes end here, so that the difference of any two of their values is finite."""
Line = Literal["solid", "dashed", "dotted"]


@dataclass(frozen=True, eq=False)
class Series:
    """One curve: `y` over `x`, both one-dimensional and of one length.

    A `y` that is not finite is a gap, and no line is drawn over it. Points come in any order of `x` and are kept
    ascending; points whose `x` is not finite, or beyond 1e300, are dropped. Raises ValueError if the lengths differ.
    """

    name: str
    """What the legend says; a series without a name is not in the legend."""
    x: Array
    y: Array
    colour: Key = 0
    line: Line = "solid"
    band: tuple[Array, Array] | None = None
    """Lower and upper edge of an area around the curve, of the length of `x`; gaps as in `y`."""
    raw: Array | None = None
    """A faint line behind the curve, of the length of `x`: what a smoothed curve was made from."""

    def __post_init__(self) -> None:
        x = np.asarray(self.x, np.float64)
        order = ascending(x)
        object.__setattr__(self, "x", x if order is None else x[order])
        for name in ("y", "raw"):
            values = getattr(self, name)
            object.__setattr__(self, name, None if values is None else self._column(name, values, x, order))
        if self.band is not None:
            low, high = (self._column("band", edge, x, order) for edge in self.band)
            object.__setattr__(self, "band", (low, high))

    def _column(self, name: str, values: Array, x: Array, order: Indices | None) -> Array:
        column = np.asarray(values, np.float64)
        if x.ndim != 1 or column.shape != x.shape:
            raise ValueError(f"series {self.name!r}: x has the shape {x.shape}, {name} {column.shape}")
        return column if order is None else column[order]

    def smoothed(self, weight: float) -> Series:
        """Return this series smoothed (see `smooth`), with what it was before as its faint raw line."""
        return self if weight == 0 else replace(self, y=smooth(self.y, weight), raw=self.y)


def ascending(x: Array) -> Indices | None:
    """Return the indices that sort `x` and leave out what no axis can show, or None if it is already so."""
    usable = np.abs(x) <= FARTHEST
    if usable.all() and (x[1:] >= x[:-1]).all():
        return None
    kept = np.flatnonzero(usable)
    return kept[np.argsort(x[kept], kind="stable")]


def stepped(series: Series, steps: Sequence[tuple[float, float, float]]) -> Series:
    """Return the series with steps: at each (x, before, after), ascending, the line is upright and flat up to it."""
    if not steps:
        return series
    x = np.repeat([step[0] for step in steps], 2)
    y = np.array([step[1:] for step in steps], np.float64).ravel()
    before = np.searchsorted(series.x, x, "right")  # a point at a step is where the line was before
    return Series(
        series.name, np.insert(series.x, before, x), np.insert(series.y, before, y), series.colour, series.line
    )


def smooth(y: Array, weight: float) -> Array:
    """Return the exponential moving average of `y` as TensorBoard has it: debiased, gaps kept and stepped over.

    With v the finite values in order, the k-th result is sum(weight^j v[k-j]) / sum(weight^j) over j = 0..k.
    Raises ValueError unless 0 <= weight < 1.
    """
    if not 0 <= weight < 1:
        raise ValueError(f"smoothing is {weight}; it must be at least 0 and less than 1")
    y = np.asarray(y, np.float64)
    finite = np.isfinite(y)
    average = y[finite] * (1 - weight)
    if weight == 0 or not average.size:
        return np.where(finite, y, np.nan)
    lag, factor = 1, weight
    # After each round the sums reach over twice as many values: log2(n) sweeps over the array instead of n steps.
    while lag < average.size and factor > 0:
        average[lag:] += factor * average[:-lag]
        lag, factor = 2 * lag, factor * factor
    early = min(average.size, int(-40 / np.log(weight)) + 1)  # from there on, the weights add up to 1 in doubles
    average[:early] /= -np.expm1(np.arange(1, early + 1) * np.log(weight))
    if average.size == y.size:
        return average
    result = np.full(y.shape, np.nan)
    result[finite] = average
    return result


def mean_with_band(name: str, seeds: Sequence[Series], colour: Key = 0, line: Line = "solid") -> Series:
    """Return the mean over the seeds of one setting, with a band of one sample standard deviation to either side.

    At each `x` the seeds that have a value there count; where fewer than two have one, the band has a gap.
    """
    x = np.unique(np.concatenate([seed.x for seed in seeds])) if seeds else np.empty(0)
    values = np.full((len(seeds), x.size), np.nan)
    for row, seed in zip(values, seeds, strict=True):
        row[np.searchsorted(x, seed.x)] = np.where(np.isfinite(seed.y), seed.y, np.nan)
    present = np.isfinite(values)
    count = present.sum(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large to square has no band
        mean = np.where(present, values, 0).sum(axis=0) / np.where(count, count, np.nan)
        squares = np.where(present, values - mean, 0) ** 2
        spread = np.sqrt(squares.sum(axis=0) / np.where(count > 1, count - 1, np.nan))
        band = mean - spread, mean + spread
    return Series(name, x, mean, colour, line, band=band)
