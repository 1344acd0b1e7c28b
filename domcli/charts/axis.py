"""Axes: round numbers to mark (1, 2, 5), and how values are written in the units of a field."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

Limits = tuple[float, float]
"""The lower and the upper end of what an axis shows."""
Kind = Literal["number", "count", "percent", "hours"]

MINUTES = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440)
"""Steps of an axis in hours, in minutes; above a day 1, 2 and 5 of them, and so on."""


@dataclass(frozen=True)
class Axis:
    """How the values along an axis are to be read."""

    kind: Kind = "number"
    """number: as it is. count: whole numbers (epochs, steps, patterns), 30k for 30,000. percent: fractions, 0.5 is
    50 %. hours: times in hours, written h:mm."""
    label: str = ""
    """What is measured, or its unit."""
    log: bool = False
    """Logarithmic; values of 0 and less are then gaps."""


class Tick(NamedTuple):
    """A round value of an axis, and how it is written."""

    value: float
    label: str


def ticks(axis: Axis, limits: Limits, most: int) -> list[Tick]:
    """Return round values within the limits, ascending: about `most` of them, and fewer rather than more."""
    if axis.log:
        values = _decades(limits, most)
        if len(values) >= 2:
            return [Tick(value, _alone(axis, value)) for value in values]
    low, high = limits
    step = round_step(axis, high - low, most)
    slack = 1e-6 * min(1.0, (high - low) / step)
    first, last = math.ceil(low / step - slack), math.floor(high / step + slack)
    largest = max(abs(first), abs(last)) * step
    return [Tick(n * step, _label(axis, n * step, step, largest)) for n in range(first, last + 1)]


def round_step(axis: Axis, span: float, most: int) -> float:
    """Return the smallest round step (1, 2 or 5 times a power of ten) that divides the span into `most` parts or fewer.

    Counts have whole steps, hours steps of minutes, hours and days.
    """
    wanted = span / max(1, most)
    if axis.kind == "hours":
        if wanted <= 24:
            return next(minutes for minutes in MINUTES if minutes >= wanted * 60 - 1e-6) / 60
        return 24 * _one_two_five(wanted / 24)
    if axis.kind == "count":
        return max(1.0, _one_two_five(wanted))
    return _one_two_five(wanted)


def _one_two_five(wanted: float) -> float:
    power = math.floor(math.log10(wanted))
    part = wanted / 10.0**power
    factor = next((factor for factor in (1, 2, 5) if factor >= part - 1e-6), 10)
    return factor * 10.0**power if power >= 0 else factor / 10.0**-power  # 3 / 10 is 0.3, 3 * 0.1 is not


def _decades(limits: Limits, most: int) -> list[float]:
    """Return powers of ten within the limits, every so-many if there are too many, with 2 and 5 if there are few."""
    low, high = (math.log10(limit) for limit in limits)
    first, last = math.ceil(low - 1e-9), math.floor(high + 1e-9)
    count = last - first + 1
    if count > 2 or (count == 2 and most < 4):
        every = max(1, round(_one_two_five(count / max(1, most))))
        powers = [power for power in range(first, last + 1) if power % every == 0]
        return [10.0**power for power in (powers if len(powers) > 1 else (first, last))]
    fine = [factor * 10.0**power for power in range(first - 1, last + 1) for factor in (1, 2, 5)]
    return [value for value in fine if limits[0] * (1 - 1e-9) <= value <= limits[1] * (1 + 1e-9)]


def _label(axis: Axis, value: float, step: float, largest: float) -> str:
    """Return a tick's label: as many decimals as the step needs, the same unit all along the axis."""
    if axis.kind == "hours" and largest < 1e5:
        return _clock(value)
    if axis.kind == "percent" and largest < 1e4:
        return _fixed(100 * value, 100 * step) + "%"
    if axis.kind == "count" and largest < 1e15:
        unit, suffix = _thousands(largest)
        return _fixed(value / unit, step / unit) + suffix if value else "0"
    if largest >= 1e5 or (largest < 1e-3 and step < 1e-3):
        digits = _power(abs(value)) - _power(step) if value else 0
        return _short(f"{value:.{min(9, max(0, digits))}e}") if value else "0"
    return _fixed(value, step)


def _alone(axis: Axis, value: float) -> str:
    """Return the label of a value for which its neighbours say nothing, as on a logarithmic axis."""
    if axis.kind == "percent":
        return _short(f"{100 * value:.3g}") + "%"
    if axis.kind == "count" and 1e4 <= value < 1e15:
        unit, suffix = _thousands(value)
        return f"{value / unit:.3g}{suffix}"
    return f"{value:.0f}" if 1 <= value < 1e5 else _short(f"{value:.3g}")


def written(axis: Axis, value: float) -> str:
    """Return a value as it is read out at the cursor: more precise than a tick, and alone."""
    if axis.kind == "percent" and abs(value) < 1e4:
        return f"{100 * value:.1f} %"
    if axis.kind == "count" and abs(value) < 1e15:
        return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"
    if axis.kind == "hours" and abs(value) < 1e5:
        return _clock(value)
    return _short(f"{value:.4g}")


def _thousands(largest: float) -> tuple[float, str]:
    """Return the unit for counts up to `largest`; four digits are still read easily without one."""
    return next(
        ((unit, suffix) for unit, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M")) if largest >= unit),
        (1e3, "k") if largest >= 1e4 else (1.0, ""),
    )


def _fixed(value: float, step: float) -> str:
    decimals = min(9, max(0, -_power(step)))
    text = f"{value:.{decimals}f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text


def _power(value: float) -> int:
    return math.floor(math.log10(value) + 1e-9)


def _short(text: str) -> str:
    """Return 1e-05 as 1e-5 and 1.50e+06 as 1.5e6."""
    number, e, power = text.partition("e")
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return f"{number}e{int(power)}" if e else number


def _clock(hours: float) -> str:
    hour, minute = divmod(round(abs(hours) * 60), 60)
    return f"{'-' if hours < 0 and hour + minute else ''}{hour}:{minute:02}"
