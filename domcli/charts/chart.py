"""A chart as a value: what it shows and where, and what can be read from it at the cursor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from domcli.charts.axis import Axis, Limits
from domcli.charts.limits import extent, round_limits, usable
from domcli.charts.series import Array, Key, Series, ascending

EPOCHS = Axis("count", "epoch")
NUMBERS = Axis()


@dataclass(frozen=True)
class Mark:
    """A vertical line where something happened: the end of the warm-up, the best epoch, a finding."""

    x: float
    label: str = ""
    colour: Key = "mark"


@dataclass(frozen=True)
class Target:
    """A horizontal line to compare with: the paper's number."""

    y: float
    label: str = ""
    colour: Key = "target"


@dataclass(frozen=True, eq=False)
class Stack:
    """Proportions over epochs as stacked areas, from the bottom up (the paper's Figure 1).

    `x` has the shape (epochs,); `shares` of shape (epochs, parts) holds values of at least 0, which are scaled to a sum
    of 1, so that counts will do. A row that is not finite or has no sum is a gap. The y axis of the chart has to be
    linear. Raises ValueError for other shapes.
    """

    x: Array
    shares: Array
    names: tuple[str, ...]
    colours: tuple[Key, ...] = ()
    """One for each part; none: the palette's first ones."""
    solid: bool = False
    """Fill with plain colours, sharp to an eighth of a row, and not with a shading for each part; not in ASCII."""

    def __post_init__(self) -> None:
        x, shares = np.asarray(self.x, np.float64), np.asarray(self.shares, np.float64)
        if x.ndim != 1 or shares.shape != (x.size, len(self.names)):
            raise ValueError(f"stack: x has the shape {x.shape}, shares {shares.shape}, names are {len(self.names)}")
        colours = self.colours or tuple(range(len(self.names)))
        if len(colours) != len(self.names):
            raise ValueError(f"stack: {len(self.names)} names, but {len(colours)} colours")
        order = ascending(x)
        x, shares = (x, shares) if order is None else (x[order], shares[order])
        parts = np.where((shares >= 0) & np.isfinite(shares), shares, np.nan)
        largest = parts.max(axis=1, keepdims=True, initial=0)
        parts = parts / np.where(largest > 0, largest, np.nan)  # first by the largest: the sum of huge ones is infinite
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "shares", parts / parts.sum(axis=1, keepdims=True))
        object.__setattr__(self, "colours", colours)


@dataclass(frozen=True, eq=False)
class Chart:
    """What to draw. Later series are drawn over earlier ones; a stack is behind them all."""

    series: tuple[Series, ...] = ()
    x: Axis = EPOCHS
    y: Axis = NUMBERS
    x_limits: Limits | None = None
    """What part of x to show; None: all of the data."""
    y_limits: Limits | None = None
    """What part of y to show; None: round limits around the data within `x_limits` (see also `steady_limits`)."""
    marks: tuple[Mark, ...] = ()
    targets: tuple[Target, ...] = ()
    stack: Stack | None = None
    cursor: float | None = None
    """An x to be read out: its column is highlighted."""
    title: str = ""
    empty: str = "no data yet"
    """What stands in the middle when there is nothing to draw."""

    def shown_x(self) -> Limits:
        """Return the limits of the x axis: as asked, or those of the data."""
        arrays = [series.x for series in self.series] + ([self.stack.x] if self.stack else [])
        if not self.x.log:
            arrays = [x[[0, -1]] for x in arrays if x.size]  # they are ascending
        return usable(self.x_limits or extent(arrays, self.x.log) or (0.0, 1.0), self.x.log)

    def shown_y(self) -> Limits:
        """Return the limits of the y axis: as asked, or round ones around what is within the x limits."""
        if self.y_limits is not None:
            return usable(self.y_limits, self.y.log)
        return usable(round_limits(self.wanted_y() or (0.0, 1.0), self.y), self.y.log)

    def wanted_y(self) -> Limits | None:
        """Return the extent of everything within the x limits (bands, raw lines and targets too), None if empty."""
        low, high = self.shown_x()
        arrays = [np.array([0.0, 1.0])] if self.stack else []
        for series in self.series:
            shown = slice(np.searchsorted(series.x, low, "left"), np.searchsorted(series.x, high, "right"))
            arrays += [values[shown] for values in _curves(series)]
        arrays += [np.array([target.y for target in self.targets], np.float64)]
        return extent(arrays, self.y.log)

    def is_empty(self) -> bool:
        """Tell whether there is no point to draw anywhere, within the limits or not."""
        stacked = self.stack is not None and bool(np.isfinite(self.stack.shares).any())
        curves = (curve for series in self.series for curve in _curves(series))
        return not stacked and not any((curve > 0 if self.y.log else np.isfinite(curve)).any() for curve in curves)


def _curves(series: Series) -> Iterator[Array]:
    yield series.y
    if series.raw is not None:
        yield series.raw
    yield from series.band or ()


def snap(chart: Chart, x: float) -> float | None:
    """Return the x nearest to `x` at which the chart has a point (the earlier of two), or None if it has none."""
    found = [near for near in (_nearest(series.x, x) for series in chart.series) if near is not None]
    if chart.stack is not None and (near := _nearest(chart.stack.x, x)) is not None:
        found.append(near)
    return min(found, key=lambda value: (abs(value - x), value), default=None)


def value_at(series: Series, x: float, within: float = 0.0) -> float | None:
    """Return y of the point nearest to `x`, if it is not farther than `within` (0: at exactly `x`), else None.

    Nothing is interpolated, and a gap is None. Of several points at one x the last counts.
    """
    near = _nearest(series.x, x)
    if near is None or abs(near - x) > within:
        return None
    y = float(series.y[np.searchsorted(series.x, near, "right") - 1])
    return y if np.isfinite(y) else None


def shares_at(stack: Stack, x: float) -> tuple[float, ...] | None:
    """Return the proportions at exactly `x`, from the bottom up, or None where there are none."""
    near = _nearest(stack.x, x)
    if near != x:
        return None
    row = stack.shares[np.searchsorted(stack.x, x, "right") - 1]
    return tuple(float(share) for share in row) if np.isfinite(row).all() and row.size else None


def _nearest(ascending: Array, x: float) -> float | None:
    if not ascending.size or not np.isfinite(x):
        return None
    after = int(np.searchsorted(ascending, x))
    around = ascending[max(0, after - 1) : after + 1]
    return float(around[np.argmin(np.abs(around - x))])
