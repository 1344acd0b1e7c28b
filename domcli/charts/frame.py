"""What stands around the data: title, legend, axes; where the plot is at any size."""

from __future__ import annotations

from typing import NamedTuple

from domcli.charts.axis import Tick, ticks, written
from domcli.charts.chart import Chart
from domcli.charts.picture import Canvas, Plot, Style, printable, shortened
from domcli.charts.raster import Grid

AXIS = Style("axis")
SAMPLES = {"solid": "━━", "dashed": "╍╍", "dotted": "┅┅"}
"""How the lines of a legend look."""
FILLS = "█▓▒░▚╱╳·"
"""How the parts of a stack look, from the bottom up: told apart without colour."""
FILLS_ASCII = "#%+=*-:."
MARKERS_ASCII = "*o+x@%&$"
"""How the lines of a chart look in ASCII, in the order of the series."""
SHORTEST_NAME = 6
"""To so many characters are the names of a legend cut so that all are there."""
GUTTER = 4
"""The least width of the y axis' labels, so that the plot stays in place when 9 becomes 10."""


class Entry(NamedTuple):
    """One entry of a legend."""

    sample: str
    name: str
    style: Style


def entries(chart: Chart, ascii: bool = False) -> list[Entry]:
    """Return the legend: series first, then the parts of the stack from the bottom up; nothing without a name."""
    found = []
    for number, series in enumerate(chart.series):
        sample = marker(number) * 2 if ascii else SAMPLES[series.line]
        found.append(Entry(sample, printable(series.name, ascii), Style(series.colour)))
    if chart.stack is not None:
        solid = chart.stack.solid and not ascii
        for number, (name, colour) in enumerate(zip(chart.stack.names, chart.stack.colours, strict=True)):
            found.append(Entry((FILLS[0] if solid else fill(number, ascii)) * 2, printable(name, ascii), Style(colour)))
    return [entry for entry in found if entry.name]


def marker(number: int) -> str:
    """Return the character of a series in ASCII."""
    return MARKERS_ASCII[number % len(MARKERS_ASCII)]


def fill(number: int, ascii: bool = False) -> str:
    """Return the character of a part of a stack."""
    fills = FILLS_ASCII if ascii else FILLS
    return fills[number % len(fills)]


def lay_out(chart: Chart, width: int, height: int, ascii: bool = False) -> tuple[Plot, list[Tick]]:
    """Return where the plot is, and the ticks of its y axis. What does not fit is left out: legend, axes, labels."""
    x, y = chart.shown_x(), chart.shown_y()
    roomy = width >= 20
    header = int(height >= 8 and roomy and bool(chart.title or chart.y.label or entries(chart)))
    below = 2 if height >= 8 else 1 if height >= 5 else 0
    rows = height - header - below
    marked = ticks(chart.y, y, min(8, max(2, rows // 3))) if roomy else []
    left = max([GUTTER, *(len(tick.label) for tick in marked)]) + 1 if roomy else 0
    dots = (1, 1) if ascii else (4, 2)
    return Plot(left, header, width - left, rows, x, y, chart.x.log, chart.y.log, dots), marked


def grid_of(plot: Plot) -> Grid:
    """Return the dots of a plot."""
    return Grid(plot.rows * plot.dots[0], plot.columns * plot.dots[1])


def draw_frame(canvas: Canvas, chart: Chart, plot: Plot, marked: list[Tick]) -> None:
    """Draw title, legend and axes."""
    if plot.top:
        _draw_header(canvas, chart)
    _draw_y_axis(canvas, plot, marked)
    below = canvas.height - plot.top - plot.rows
    if below:
        _draw_x_axis(canvas, chart, plot, line=below == 2)


def _draw_header(canvas: Canvas, chart: Chart) -> None:
    title = printable(chart.title, canvas.ascii)
    unit = printable(chart.y.label, canvas.ascii)
    end = canvas.put(0, 0, shortened(title, canvas.width, canvas.ascii), Style("title", bold=True))
    if unit:
        end = canvas.put(0, end + 1 if end else 0, shortened(unit, canvas.width - end - 1, canvas.ascii), Style("text"))
    draw_legend(canvas, 0, end + 2 if end else 0, entries(chart, canvas.ascii))


def draw_legend(canvas: Canvas, row: int, column: int, found: list[Entry]) -> None:
    """Draw as many entries as fit from a column on, with shorter names if all fit then; `+2`: two more did not."""
    room = canvas.width - column - sum(len(entry.sample) + 1 for entry in found) - 2 * (len(found) - 1)
    longest = max((len(entry.name) for entry in found), default=0)
    least = range(min(longest, max(12, canvas.width // 3)), SHORTEST_NAME - 1, -1)
    cut = next((cut for cut in least if sum(min(cut, len(entry.name)) for entry in found) <= room), 0)
    if cut:
        found = [entry._replace(name=shortened(entry.name, cut, canvas.ascii)) for entry in found]
    for number, entry in enumerate(found):
        left = len(found) - number
        more = len(f"  +{left - 1}") if left > 1 else 0
        room = canvas.width - column - len(entry.sample) - 1 - more
        name = shortened(entry.name, max(12, canvas.width // 3), canvas.ascii)
        if number == 0 and room >= 4:
            name = shortened(name, room, canvas.ascii)
        if room < len(name):
            canvas.put(row, column, f"+{left}", Style("text"))
            return
        column = canvas.put(row, column, entry.sample, entry.style)
        column = canvas.put(row, column + 1, name, Style("text")) + 2


def _draw_y_axis(canvas: Canvas, plot: Plot, marked: list[Tick]) -> None:
    if not plot.left:
        return
    line, cross = "|+" if canvas.ascii else "│┤"
    rows = slice(plot.top, plot.top + plot.rows)
    canvas.codes[rows, plot.left - 1] = ord(line)
    canvas.styles[rows, plot.left - 1] = canvas.number(AXIS)
    used = set()
    for tick in marked:
        row = plot.row_of(tick.value)
        if row is not None and row not in used:
            canvas.put(row, plot.left - 1 - len(tick.label), tick.label + cross, AXIS)
            used.add(row)


def _draw_x_axis(canvas: Canvas, chart: Chart, plot: Plot, line: bool) -> None:
    bottom = plot.top + plot.rows
    corner, dash, cross = "+-+" if canvas.ascii else "└─┬"
    if line:
        canvas.put(bottom, plot.left, dash * plot.columns, AXIS)
        canvas.put(bottom, plot.left - 1, corner, AXIS)
    at = None if chart.cursor is None else plot.column_of(chart.cursor)
    text = "" if at is None or chart.cursor is None else written(chart.x, chart.cursor)
    read = 0 if at is None else max(0, min(at - (len(text) - 1) // 2, canvas.width - len(text)))
    canvas.put(canvas.height - 1, read, text, Style("cursor", bold=True))
    for column, start, label in _x_labels(chart, plot, canvas.width):
        if line:
            canvas.put(bottom, column, cross, AXIS)
        if not text or start > read + len(text) or start + len(label) < read:
            canvas.put(canvas.height - 1, start, label, AXIS)
    name = printable(chart.x.label, canvas.ascii)
    if line and name and len(name) + 1 <= plot.columns // 2:
        canvas.put(bottom, canvas.width - len(name) - 1, " " + name, AXIS)


def _x_labels(chart: Chart, plot: Plot, width: int) -> list[tuple[int, int, str]]:
    """Return column, start and text of as many x labels as fit beside each other."""
    for most in range(max(2, plot.columns // 7), 0, -1):
        placed = []
        end = -2
        for tick in ticks(chart.x, plot.x, most):
            column = plot.column_of(tick.value)
            if column is None:
                continue
            start = max(0, min(column - (len(tick.label) - 1) // 2, width - len(tick.label)))
            placed.append((column, start, tick.label))
            if start < end + 2:
                break
            end = start + len(tick.label)
        else:
            return placed
    return []
