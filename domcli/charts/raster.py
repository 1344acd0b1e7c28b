"""From points to dots: lines without gaps on a grid of dots, areas between two lines, and dots as braille."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from domcli.charts.reduce import Points
from domcli.charts.series import Flags, Indices, Line

BRAILLE = 0x2800
DOTS = (0, 1, 2, 6, 3, 4, 5, 7)
"""Down the left column of a cell and then down the right one: the bit of a dot in its character's number."""
BITS = np.array([sum(1 << bit for at, bit in enumerate(DOTS) if byte >> at & 1) for byte in range(256)], np.uint32)
"""The bits of a character by those of its dots in the order of DOTS."""
PATTERNS = {"dashed": (6, 4), "dotted": (2, 1)}
"""Length of a pattern in dots, and how many of them are drawn: dashes of two cells, and one dot a cell."""


class Grid(NamedTuple):
    """A grid of dots, row 0 at the top."""

    rows: int
    columns: int

    def dots(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[Indices, Indices]:
        """Return column and row of points given by their place between the limits, (0, 0) at the lower left."""
        column = np.floor(x * (self.columns - 1) + 0.5)
        row = np.floor((1 - y) * (self.rows - 1) + 0.5)
        return column.astype(np.int64), row.astype(np.int64)


class Spans(NamedTuple):
    """Vertical strokes of dots: in `column`, from row `top` to row `bottom`."""

    column: Indices
    top: Indices
    bottom: Indices


def line(points: Points, grid: Grid, style: Line = "solid") -> Flags:
    """Return the dots of a line through the points (x and y from 0 to 1 within the grid), of the grid's shape.

    Patterns run along columns where the line is flat and along rows where it is steep, so that a spike of a single
    point stays visible in any style; a point without neighbours is always drawn.
    """
    column, row = grid.dots(points.x, points.y)
    filled = _fill(_strokes(column, row, points.joined, grid), grid, style)
    alone = ~points.joined & ~np.append(points.joined[1:], False)
    return filled | _fill(_single(column, row, alone), grid) if alone.any() else filled


def area(low: Points, high: Points, grid: Grid) -> Flags:
    """Return the dots from a lower to an upper line, both included, in the columns that both cross."""
    taller = Grid(grid.rows + 2, grid.columns)  # one row more to either side for what is outside
    filled = []
    for points in (low, high):
        column, row = grid.dots(points.x, points.y)
        row = np.clip(row + 1, 0, grid.rows + 1)
        alone = ~points.joined & ~np.append(points.joined[1:], False)
        filled.append(
            _fill(_strokes(column, row, points.joined, taller), taller) | _fill(_single(column, row, alone), taller)
        )
    below, above = filled
    bottom = taller.rows - 1 - np.argmax(below[::-1], axis=0)
    top = np.argmax(above, axis=0)
    rows = np.arange(taller.rows)[:, None]
    inside: Flags = (rows >= top) & (rows <= bottom) & below.any(axis=0) & above.any(axis=0)
    return inside[1:-1]


def _strokes(column: Indices, row: Indices, joined: Flags, grid: Grid) -> Spans:
    """Return, for every line and every column of the grid it crosses, the rows it passes there, and at least one.

    In a column a line passes the rows at which it is nearer to this column than to the next: no dots in between are
    missing, and none are doubled where the line goes from one column to the next.
    """
    to = np.flatnonzero(joined[1:]) + 1
    x0, x1, y0, y1 = column[to - 1], column[to], row[to - 1], row[to]
    seen = (x1 >= 0) & (x0 < grid.columns)
    x0, x1, y0, y1 = x0[seen], x1[seen], y0[seen], y1[seen]
    begin = np.maximum(x0, 0)
    count = np.minimum(x1, grid.columns - 1) - begin + 1
    segment = np.repeat(np.arange(x0.size), count)
    at = np.arange(segment.size) - np.repeat(np.cumsum(count) - count - begin, count)
    slope = ((y1 - y0) / np.maximum(x1 - x0, 1))[segment]
    start, x_end, y_start = x0[segment], x1[segment], y0[segment]
    left = y_start + slope * (np.maximum(at - 0.5, start) - start)
    right = y_start + slope * (np.minimum(at + 0.499, x_end) - start)  # a tie belongs to the next column
    right = np.where(x_end == start, y1[segment], right)
    top = np.ceil(np.minimum(left, right) - 1e-6)
    bottom = np.floor(np.maximum(left, right) + 1e-6)
    nearest = np.floor(y_start + slope * (at - start) + 0.5)
    none = top > bottom
    top, bottom = np.where(none, nearest, top), np.where(none, nearest, bottom)
    return Spans(at, top.astype(np.int64), bottom.astype(np.int64))


def _single(column: Indices, row: Indices, alone: Flags) -> Spans:
    return Spans(column[alone], row[alone], row[alone])


def _fill(spans: Spans, grid: Grid, style: Line = "solid") -> Flags:
    """Return the grid with all strokes drawn; a pattern runs down strokes of more than two dots, and across others."""
    top, bottom = np.maximum(spans.top, 0), np.minimum(spans.bottom, grid.rows - 1)
    inside = (spans.column >= 0) & (spans.column < grid.columns) & (top <= bottom)
    column, steep = spans.column, spans.bottom - spans.top >= 2
    if not inside.all():
        column, top, bottom, steep = column[inside], top[inside], bottom[inside], steep[inside]
    count = bottom - top + 1
    row = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count - top, count)
    column = np.repeat(column, count)
    if style != "solid":
        length, most = PATTERNS[style]
        drawn = np.where(np.repeat(steep, count), row, column) % length < most
        row, column = row[drawn], column[drawn]
    filled = np.zeros(grid.rows * grid.columns, bool)
    filled[row * grid.columns + column] = True
    return filled.reshape(grid)


def braille(dots: Flags) -> NDArray[np.uint32]:
    """Return, for each cell of 4 x 2 dots, the bits of its braille character; 0 for a cell without dots."""
    rows, columns = dots.shape[0] // 4, dots.shape[1] // 2
    cells = dots.reshape(rows, 4, columns, 2).transpose(0, 2, 3, 1)
    return BITS[np.packbits(cells, bitorder="little")].reshape(rows, columns)
