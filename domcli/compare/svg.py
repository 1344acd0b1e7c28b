"""Small line charts as SVG: a mean and its band for every group."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from domcli.compare.curves import Curve

WIDTH, HEIGHT = 460, 270
LEFT, RIGHT, TOP, BOTTOM = 54, 12, 12, 34
TICKS = 5
MOST_DECIMALS = 9


class Axis:
    """A linear scale from values to pixels, with its ticks, which are no closer than `least`."""

    def __init__(self, low: float, high: float, start: float, end: float, least: float = 0.0) -> None:
        low, high = _limits(low, high)
        step = _round_step(max(least, (high - low) / TICKS))
        self.low, self.high = math.floor(low / step) * step, math.ceil(high / step) * step
        self.ticks = [self.low + step * number for number in range(round((self.high - self.low) / step) + 1)]
        self._start, self._scale = start, (end - start) / (self.high - self.low)
        decimals = max(0, -math.floor(math.log10(step)))
        self._form = f",.{decimals}f" if decimals <= MOST_DECIMALS and max(-self.low, self.high) < 1e15 else "g"

    def at(self, value: float) -> float:
        """Return the pixel of a value."""
        return self._start + (min(max(value, self.low), self.high) - self.low) * self._scale

    def label(self, tick: float) -> str:
        return f"{tick:{self._form}}"


def chart(curves: Sequence[Curve], styles: Sequence[int]) -> str:
    """Return an <svg> of curves of one quantity; `styles` are the numbers of their CSS classes s0, s1, ..."""
    epochs = [epoch for curve in curves for epoch in (curve.epochs[0], curve.epochs[-1])]
    values = [value for curve in curves for edge in _edges(curve) for value in edge if math.isfinite(value)] or [0.0]
    across = Axis(min(epochs), max(epochs), LEFT, WIDTH - RIGHT, least=1)
    up = Axis(min(values), max(values), HEIGHT - BOTTOM, TOP)
    title = escape(curves[0].quantity.label)
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">', *_grid(across, up)]
    for curve, style in zip(curves, styles, strict=True):
        parts += _band(curve, style, across, up)
    for curve, style in zip(curves, styles, strict=True):
        parts.append(_line(curve, style, across, up))
    return "\n".join([*parts, "</svg>"])


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step)


def _edges(curve: Curve) -> tuple[list[float], list[float]]:
    std = curve.std or (0.0,) * len(curve.mean)
    return (
        [mean - spread for mean, spread in zip(curve.mean, std, strict=True)],
        [mean + spread for mean, spread in zip(curve.mean, std, strict=True)],
    )


def _grid(across: Axis, up: Axis) -> list[str]:
    parts = []
    for tick in up.ticks:
        y = up.at(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{up.label(tick)}</text>')
    below = HEIGHT - BOTTOM + 16
    parts += [
        f'<text x="{across.at(tick):.1f}" y="{below}" text-anchor="middle">{across.label(tick)}</text>'
        for tick in across.ticks
    ]
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 4}" text-anchor="middle">epoch</text>')
    return parts


def _band(curve: Curve, style: int, across: Axis, up: Axis) -> list[str]:
    if curve.std is None or len(curve.epochs) < 2:
        return []
    low, high = _edges(curve)
    there = _points(curve.epochs, high, across, up)
    back = _points(curve.epochs[::-1], low[::-1], across, up)
    return [f'<polygon class="band s{style}" points="{there} {back}"/>']


def _line(curve: Curve, style: int, across: Axis, up: Axis) -> str:
    title = f"<title>{escape(curve.group)} (n = {curve.n})</title>"
    if len(curve.epochs) == 1:
        x, y = across.at(curve.epochs[0]), up.at(curve.mean[0])
        return f'<circle class="dot s{style}" cx="{x:.1f}" cy="{y:.1f}" r="3">{title}</circle>'
    points = _points(curve.epochs, curve.mean, across, up)
    return f'<polyline class="line s{style}" points="{points}">{title}</polyline>'


def _points(epochs: Sequence[int], values: Sequence[float], across: Axis, up: Axis) -> str:
    at_x, at_y = across.at, up.at
    return " ".join([f"{at_x(x):.1f},{at_y(y):.1f}" for x, y in zip(epochs, values, strict=True)])


def _limits(low: float, high: float) -> tuple[float, float]:
    """Return limits that can be drawn; those of ordinary numbers are found without NumPy, which takes its time."""
    if low == high and abs(low) < 1e15:
        return low - 0.5, high + 0.5
    if 1e-9 * max(abs(low), abs(high)) < high - low < 1e300:
        return low, high
    from domcli.charts.limits import usable

    return usable((low, high))
