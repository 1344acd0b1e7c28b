"""Proportions over epochs as stacked areas (the paper's Figure 1): a shading or a colour for each part."""

from __future__ import annotations

import numpy as np

from domcli.charts.chart import Stack
from domcli.charts.frame import fill
from domcli.charts.picture import Canvas, Plot, Style
from domcli.charts.reduce import edges_of
from domcli.charts.series import Array

EIGHTHS = 0x2580
"""U+2581 to U+2588 fill one to eight eighths of a cell from below."""


def columns_of(stack: Stack, plot_x: tuple[float, float], columns: int, log: bool = False) -> Array:
    """Return the mean proportions of the epochs in each of the columns, of shape (columns, parts); NaN for a gap.

    A column between two epochs shows the nearer one, up to half their usual distance; farther out there is a gap.
    """
    edges = edges_of(plot_x, columns, log)
    bounds = np.searchsorted(stack.x, edges)
    known = np.isfinite(stack.shares.sum(axis=1)) & bool(stack.names)
    sums = np.cumsum(np.vstack([np.zeros(len(stack.names)), np.where(known[:, None], stack.shares, 0)]), axis=0)
    counts = np.append(0, np.cumsum(known))
    total = (counts[bounds[1:]] - counts[bounds[:-1]])[:, None]
    result: Array = (sums[bounds[1:]] - sums[bounds[:-1]]) / np.where(total, total, np.nan)
    if not stack.x.size:
        return result
    centres = np.sqrt(edges[1:]) * np.sqrt(edges[:-1]) if log else (edges[1:] + edges[:-1]) / 2
    after = np.clip(np.searchsorted(stack.x, centres), 1, max(1, stack.x.size - 1))
    after = np.minimum(after, stack.x.size - 1)
    before = np.maximum(after - 1, 0)
    nearest = np.where(centres - stack.x[before] <= stack.x[after] - centres, before, after)
    apart = float(np.median(np.diff(stack.x))) if stack.x.size > 1 else 1.0
    near = (np.abs(stack.x[nearest] - centres) <= apart * 0.501) & (bounds[1:] == bounds[:-1])
    result[near] = stack.shares[nearest[near]]
    return result


def draw_stack(canvas: Canvas, stack: Stack, plot: Plot) -> None:
    """Draw the stack into the plot; its proportions go from 0 to 1 of the y axis.

    A cell shows the part at its middle in that part's shading; or, of a solid stack, two parts, one as background.
    """
    if not stack.names:
        return
    shares = columns_of(stack, plot.x, plot.columns, plot.log_x)
    tops = np.cumsum(shares, axis=1).T  # of each part in each column
    gap = np.isnan(tops[-1])
    rows = np.arange(plot.rows)[:, None]
    low, high = plot.y

    def part_at(place: Array) -> Array:
        """Return the part at a height in rows above the plot's lower edge."""
        y = low + (high - low) * place / plot.rows
        part = (tops[:-1, None, :] <= y[None]).sum(axis=0)
        return np.where(gap | (y < 0) | (y > 1), -1, part)

    floor = (plot.rows - 1 - rows).astype(float) + np.zeros(plot.columns)
    styles = [canvas.number(Style(colour)) for colour in stack.colours]
    if stack.solid and not canvas.ascii:
        _draw_solid(canvas, stack, plot, [part_at(floor + (eighth + 0.5) / 8) for eighth in range(8)])
        return
    part = part_at(floor + 0.5)
    codes = np.array([ord(fill(number, canvas.ascii)) for number in range(len(stack.names))], np.uint32)
    canvas.paint(plot, codes[part], np.array(styles)[part], part >= 0)


def _draw_solid(canvas: Canvas, stack: Stack, plot: Plot, eighths: list[Array]) -> None:
    """Draw each cell as its lowest part up to where that ends, and what is above it as the background."""
    lower, upper = eighths[0], eighths[-1]
    count = sum((eighth == lower).astype(int) for eighth in eighths)
    parts = len(stack.names) + 1
    pair = (lower + 1) * parts + upper + 1
    styles = np.zeros(parts * parts, np.int64)
    for number in set(pair.ravel().tolist()):
        part, other = number // parts - 1, number % parts - 1
        back = stack.colours[other] if other not in (-1, part) else None
        styles[number] = canvas.number(Style(stack.colours[part], back=back)) if part >= 0 else 0
    canvas.paint(plot, (EIGHTHS + count).astype(np.uint32), styles[pair], lower >= 0)
