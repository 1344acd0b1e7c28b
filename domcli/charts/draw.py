"""A chart as a picture of characters: lines in braille, areas behind them, marks and labels where there is room."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable
from itertools import product

import numpy as np

from domcli.charts.chart import Chart, Mark, Target
from domcli.charts.frame import draw_frame, draw_legend, entries, grid_of, lay_out, marker
from domcli.charts.picture import Canvas, Picture, Plot, Span, Style, printable, shortened
from domcli.charts.raster import BRAILLE, area, braille, line
from domcli.charts.reduce import Points, band_edges, reduce, straight
from domcli.charts.series import Array, Flags
from domcli.charts.stacked import draw_stack


def draw(chart: Chart, width: int, height: int, *, ascii: bool = False) -> Picture:
    """Return the chart as exactly `height` rows of `width` characters.

    What does not fit is left out: under 20 columns the y axis, under 8 rows the legend, under 5 rows the x axis.
    `ascii` draws without Unicode. Raises ValueError for a size below 1.
    """
    if width < 1 or height < 1:
        raise ValueError(f"a picture of {width} x {height} characters cannot be drawn")
    canvas = Canvas(width, height, ascii)
    plot, marked = lay_out(chart, width, height, ascii)
    draw_frame(canvas, chart, plot, marked)
    if chart.is_empty():
        _draw_empty(canvas, chart, plot)
        return canvas.picture(plot)
    if chart.stack is not None:
        draw_stack(canvas, chart.stack, plot)
    _draw_areas(canvas, chart, plot)
    busy = _draw_lines(canvas, chart, plot)
    labels = Labels(canvas, plot, busy)
    for mark in chart.marks:
        _draw_mark(canvas, mark, plot, labels)
    for target in chart.targets:
        _label_target(target, plot, labels)
    at = None if chart.cursor is None else plot.column_of(chart.cursor)
    if at is not None:
        canvas.highlight(plot, at, "|" if ascii else "│", busy[:, at - plot.left])
    return canvas.picture(plot)


def legend(chart: Chart, width: int, *, ascii: bool = False) -> tuple[Span, ...]:
    """Return the chart's legend as one row of exactly `width` characters, for a place of its own."""
    canvas = Canvas(width, 1, ascii)
    draw_legend(canvas, 0, 0, entries(chart, ascii))
    return canvas.picture(Plot(0, 0, width, 1, (0.0, 1.0), (0.0, 1.0))).rows[0]


class Layer:
    """Lines of one kind: their dots are joined where they meet in a cell, and the last one gives the colour."""

    def __init__(self, canvas: Canvas, plot: Plot) -> None:
        self._canvas, self._plot = canvas, plot
        self._codes = np.zeros((plot.rows, plot.columns), np.uint32)
        self._used = False
        self._styles = np.zeros((plot.rows, plot.columns), np.int64)

    def add(self, dots: Flags, style: Style, character: str) -> None:
        """Draw dots over what is there; `character` stands for a dot in ASCII."""
        ascii = self._canvas.ascii
        codes = dots * np.uint32(ord(character)) if ascii else braille(dots)
        drawn = codes > 0
        self._used = True
        self._codes = np.where(drawn, codes, self._codes) if ascii else self._codes | codes
        self._styles[drawn] = self._canvas.number(style)

    def paint(self) -> Flags:
        """Put the layer on the canvas, over all that is there; return which cells of the plot it took."""
        drawn = self._codes > 0
        if not self._used:
            return drawn
        offset = np.uint32(0 if self._canvas.ascii else BRAILLE)
        self._canvas.paint(self._plot, self._codes + offset, self._styles, drawn)
        return drawn


def _points(x: Array, y: Array, plot: Plot) -> Points:
    """Return the points to draw, with coordinates from 0 to 1 within the plot."""
    found = reduce(x, y, plot.x, grid_of(plot).columns, log_x=plot.log_x, log_y=plot.log_y)
    return Points(
        straight(found.x, plot.x, plot.log_x),
        straight(found.y, plot.y, plot.log_y),
        found.joined,
    )


def _draw_areas(canvas: Canvas, chart: Chart, plot: Plot) -> None:
    """Draw what is behind the series: bands as a sparse pattern of dots, faint raw lines, targets."""
    bands, raws, targets = (Layer(canvas, plot) for _ in range(3))
    grid = grid_of(plot)
    for series in chart.series:
        style = Style(series.colour, faint=True)
        if series.band is not None:
            low, high = band_edges(series, plot.y, plot.log_y)
            dots = area(_points(series.x, low, plot), _points(series.x, high, plot), grid)
            bands.add(dots if canvas.ascii else _sparse(dots), style, ":")
        if series.raw is not None:
            raws.add(line(_points(series.x, series.raw, plot), grid), style, ".")
    across = np.array(plot.x)
    for target in chart.targets:
        points = _points(across, np.full(2, target.y), plot)
        targets.add(line(points, grid, "dotted"), Style(target.colour), "-")
    for layer in (bands, raws, targets):
        layer.paint()


def _sparse(dots: Flags) -> Flags:
    """Return a quarter of the dots, two in every cell of braille."""
    row, column = np.ogrid[: dots.shape[0], : dots.shape[1]]
    pattern: Flags = (row + 2 * (column % 2)) % 4 == 0
    return dots & pattern


def _draw_lines(canvas: Canvas, chart: Chart, plot: Plot) -> Flags:
    """Draw the series; return which cells of the plot they took."""
    layer = Layer(canvas, plot)
    for number, series in enumerate(chart.series):
        style = "solid" if canvas.ascii else series.line
        dots = line(_points(series.x, series.y, plot), grid_of(plot), style)
        layer.add(dots, Style(series.colour), marker(number))
    return layer.paint()


class Labels:
    """Puts labels where they cover nothing, with a gap between neighbours."""

    def __init__(self, canvas: Canvas, plot: Plot, busy: Flags) -> None:
        """`busy` are the cells of the plot that are taken; those of labels are added."""
        self.busy = busy
        self._canvas, self._plot = canvas, plot
        self._near = np.zeros_like(busy)

    def put(self, text: str, style: Style, rows: Iterable[int], starts: Callable[[int], Iterable[int]]) -> None:
        """Write a label in the first of the rows that has room, at one of the `starts` for its width, else nowhere."""
        plot, ascii = self._plot, self._canvas.ascii
        label = shortened(printable(text, ascii), plot.columns // 2, ascii)
        for row, start in product(rows, starts(len(label))):
            end = start + len(label)
            inside = 0 <= row < plot.rows and start >= 0 and end <= plot.columns
            if label and inside and not (self.busy[row, start:end] | self._near[row, start:end]).any():
                self._canvas.put(plot.top + row, plot.left + start, label, style)
                self.busy[row, start:end] = True
                self._near[row, max(0, start - 1) : end + 1] = True
                return


def _draw_mark(canvas: Canvas, mark: Mark, plot: Plot, labels: Labels) -> None:
    """Draw a vertical line behind the series, with its label in the uppermost row that has room beside it."""
    at = plot.column_of(mark.x)
    if at is None:
        return
    column = at - plot.left
    style = Style(mark.colour)
    free = plot.top + np.flatnonzero(~labels.busy[:, column])
    canvas.codes[free, at] = ord("|" if canvas.ascii else "┊")
    canvas.styles[free, at] = canvas.number(style)
    labels.put(mark.label, style, range(plot.rows), lambda width: (column + 1, column - width))


def _label_target(target: Target, plot: Plot, labels: Labels) -> None:
    at = plot.row_of(target.y)
    if at is None:
        return
    rows = [at - plot.top + down for down in (0, -1, 1)]
    style = Style(target.colour)
    labels.put(target.label, style, rows, lambda width: (plot.columns - width, 0))


def _draw_empty(canvas: Canvas, chart: Chart, plot: Plot) -> None:
    """Write in the middle why there is nothing, in as many rows as it takes."""
    lines = textwrap.wrap(printable(chart.empty, canvas.ascii), plot.columns)[: plot.rows]
    above = (plot.rows + 1 - len(lines)) // 2
    for row, text in enumerate(lines, start=plot.top + above):
        canvas.put(row, plot.left + (plot.columns - len(text)) // 2, text, Style("empty"))
