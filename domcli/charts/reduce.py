"""From data to what pixels can show: the part in the window, and of each pixel column its extremes."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from domcli.charts.axis import Limits
from domcli.charts.series import Array, Flags, Series

FAR = 1e7
"""How many windows away from the limits values may be: farther out, only a line's slope could tell the difference."""


class Points(NamedTuple):
    """Finite points, ascending in x; `joined[i]` tells whether a line leads from point i - 1 to point i."""

    x: Array
    y: Array
    joined: Flags


def straight(values: Array, limits: Limits, log: bool) -> Array:
    """Return where values lie between the limits: 0 at the lower, 1 at the upper one; at most FAR to either side."""
    low, high = limits
    if log:
        low, high, values = math.log10(low), math.log10(high), np.log10(values)
    reach = FAR * (high - low)
    places: Array = (np.clip(values, low - reach, high + reach) - low) / (high - low)
    return places


def reduce(x: Array, y: Array, limits: Limits, columns: int, *, log_x: bool = False, log_y: bool = False) -> Points:
    """Return the points that `columns` pixel columns over the limits need, the centres of the outer ones at the limits.

    Of each unbroken run of points in one column the first, the lowest, the highest and the last are kept, so that
    nothing visible is lost; of the points outside of the limits one to each side, to which lines lead. `x` has to be
    ascending. On a logarithmic axis values of 0 and less are gaps.
    """
    low, high = limits
    first = max(0, int(np.searchsorted(x, low, "left")) - 1)
    last = int(np.searchsorted(x, high, "right")) + 1
    x, y = x[first:last], y[first:last]
    drawn = np.isfinite(y)
    if log_y:
        drawn &= y > 0
    if log_x:
        drawn &= x > 0
    joined = drawn.copy()
    joined[1:] &= drawn[:-1]
    joined[:1] = False
    if not drawn.all():
        x, y, joined = x[drawn], y[drawn], joined[drawn]
    points = Points(x, y, joined)
    if x.size > 4 * columns:
        points = _extremes(points, edges_of(limits, columns, log_x))
    return points


def edges_of(limits: Limits, columns: int, log: bool = False) -> Array:
    """Return the columns + 1 edges of pixel columns, of which the outer ones have their centres at the limits."""
    low, high = (math.log10(limit) for limit in limits) if log else limits
    edges = np.asarray(low + (high - low) / max(1, columns - 1) * (np.arange(columns + 1) - 0.5), np.float64)
    return np.asarray(10.0 ** np.clip(edges, -307, 308), np.float64) if log else edges


def _extremes(points: Points, edges: Array) -> Points:
    x, y, joined = points
    begins = ~joined
    begins[0] = True
    inner = np.searchsorted(x, edges)
    begins[inner[inner < x.size]] = True
    start = np.flatnonzero(begins)
    end = np.append(start[1:], x.size) - 1
    middle = (x[start] + x[end]) / 2
    lowest, highest = np.minimum.reduceat(y, start), np.maximum.reduceat(y, start)
    falling = y[start] > y[end]  # the extremes in the order that makes the shorter way
    near, far = np.where(falling, highest, lowest), np.where(falling, lowest, highest)
    yes = np.ones(start.size, bool)
    kept = np.stack([yes, end > start + 1, end > start + 1, end > start], axis=1)
    return Points(
        np.stack([x[start], middle, middle, x[end]], axis=1)[kept],
        np.stack([y[start], near, far, y[end]], axis=1)[kept],
        np.stack([joined[start], yes, yes, yes], axis=1)[kept],
    )


def band_edges(series: Series, limits: Limits, log: bool) -> tuple[Array, Array]:
    """Return the edges of a series' band, with their gaps in common.

    On a logarithmic axis a lower edge of 0 and less is drawn at the axis' end: mean and deviation lead there easily.
    """
    low, high = series.band or (series.y, series.y)
    if log:
        low = np.maximum(low, limits[0])
    known = np.isfinite(low) & np.isfinite(high) & ((high > 0) | (not log))
    return np.where(known, np.minimum(low, high), np.nan), np.where(known, np.maximum(low, high), np.nan)
