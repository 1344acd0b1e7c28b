"""What an axis shows: limits that hold the data, that stay where they are as long as they can, panned and zoomed."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from domcli.charts.axis import Axis, Limits, round_step
from domcli.charts.series import FARTHEST, Array

NARROWEST = 1e-9
"""The smallest span of an axis, relative to its values: below it, neighbouring doubles begin to show."""
LEAST_USE = 0.4
"""An axis of which the data use a smaller share than this is rescaled."""
PARTS = 5
"""Into how many steps, at the most, the data are divided to find round limits."""


def usable(limits: Limits, log: bool = False) -> Limits:
    """Return limits that can be drawn: finite, ascending, not too close to each other, above 0 if logarithmic."""
    floor = 1e-300 if log else -FARTHEST
    low, high = sorted(min(FARTHEST, max(floor, 0.0 if math.isnan(limit) else limit)) for limit in limits)
    if log:
        if limits[0] <= 0:
            low = high / 1000
        return (low, high) if high > low * (1 + NARROWEST) else (low / 2, high * 2)
    if high - low > max(NARROWEST * max(abs(low), abs(high)), 1e-290):
        return low, high
    middle = low + (high - low) / 2
    around = abs(middle) / 10 if abs(middle) > 1e-280 else 0.5
    return middle - around, middle + around


def extent(values: Iterable[Array], positive: bool = False) -> Limits | None:
    """Return the smallest and largest finite value (above 0, if `positive`), or None if there is none."""
    found: list[float] = []
    for array in values:
        if not positive and array.size and np.isfinite(ends := (float(array.min()), float(array.max()))).all():
            found += ends
            continue
        kept = array[np.isfinite(array) & (array > 0)] if positive else array[np.isfinite(array)]
        if kept.size:
            found += [float(kept.min()), float(kept.max())]
    return (min(found), max(found)) if found else None


def round_limits(wanted: Limits, axis: Axis) -> Limits:
    """Return limits at round values around the ones wanted."""
    low, high = usable(wanted, axis.log)
    if axis.log:
        return _round_down(low), 1 / _round_down(1 / high)
    step = round_step(axis, high - low, PARTS)
    return math.floor(low / step + 1e-6) * step, math.ceil(high / step - 1e-6) * step


def _round_down(value: float) -> float:
    """Return the largest of 1, 2 and 5 times the powers of ten that is not above the value."""
    power = math.floor(math.log10(value) + 1e-9)
    return max(factor * 10.0**power for factor in (1, 2, 5) if factor * 10.0**power <= value * (1 + 1e-9))


def steady_limits(previous: Limits | None, wanted: Limits, axis: Axis) -> Limits:
    """Return the limits for an axis that shows `previous` and has to hold `wanted` now.

    They stay as they are while the data fit and use LEAST_USE of the axis; data that leave them move the one end that
    is too close; only an axis too wide for its data is set anew.
    """
    fresh = round_limits(wanted, axis)
    if previous is None:
        return fresh
    previous = usable(previous, axis.log)
    held = (
        previous[0] if previous[0] <= wanted[0] else fresh[0],
        previous[1] if previous[1] >= wanted[1] else fresh[1],
    )
    return held if _span(fresh, axis.log) >= LEAST_USE * _span(held, axis.log) else fresh


def _span(limits: Limits, log: bool) -> float:
    return math.log10(limits[1]) - math.log10(limits[0]) if log else limits[1] - limits[0]


def pan(limits: Limits, share: float, within: Limits, log: bool = False) -> Limits:
    """Return the limits moved by a share of their span (1 is one screen up or to the right), kept within the data."""
    low, high = _straight(usable(limits, log), log)
    floor, ceiling = _straight(usable(within, log), log)
    span = min(max(high - low, _smallest(floor, ceiling)), ceiling - floor)
    low = min(max(low + share * (high - low), floor), ceiling - span)
    return _back((low, low + span), log)


def zoom(limits: Limits, factor: float, at: float, within: Limits, log: bool = False, least: float = 0.0) -> Limits:
    """Return the limits with their span divided by `factor` (above 1 is closer), kept within the data.

    The value `at` (the mouse, the cursor) keeps its place. `least` is the smallest span, in units of the axis (in
    decades, if logarithmic). Raises ValueError unless factor > 0.
    """
    if not factor > 0:
        raise ValueError(f"the zoom factor is {factor}; it must be more than 0")
    low, high = _straight(usable(limits, log), log)
    floor, ceiling = _straight(usable(within, log), log)
    span = min(max((high - low) / factor, least, _smallest(floor, ceiling)), ceiling - floor)
    place = min(max(math.log10(max(at, 1e-300)) if log else at, low), high)
    low = min(max(place - (place - low) / (high - low) * span, floor), ceiling - span)
    return _back((low, low + span), log)


def _smallest(floor: float, ceiling: float) -> float:
    return max(1e-6 * (ceiling - floor), 2 * NARROWEST * max(abs(floor), abs(ceiling)))


def _straight(limits: Limits, log: bool) -> Limits:
    return (math.log10(limits[0]), math.log10(limits[1])) if log else limits


def _back(limits: Limits, log: bool) -> Limits:
    return (10 ** limits[0], 10 ** limits[1]) if log else limits
