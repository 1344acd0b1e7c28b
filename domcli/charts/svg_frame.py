"""What stands around the data in an SVG: title, legend, axes, marks and targets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from domcli.charts.axis import Tick, ticks
from domcli.charts.chart import Chart
from domcli.charts.markup import element, fitted, label, text_width
from domcli.charts.picture import place_of
from domcli.charts.series import Key, Line
from domcli.charts.themes import Theme

DASHES: dict[Line, str | None] = {"solid": None, "dashed": "7 4", "dotted": "2 3"}
ROW = 18
"""Height of a row of the legend, pixels."""
LABEL_ROWS = 3
"""Rows for the labels of marks, at the most."""
EDGE = 16
"""Free space around everything, pixels."""


@dataclass(frozen=True)
class Sample:
    """An entry of the legend: a line, or an area if `line` is None."""

    name: str
    colour: Key
    line: Line | None
    x: float
    row: int


@dataclass(frozen=True)
class Frame:
    """Where everything is, in pixels."""

    chart: Chart
    theme: Theme
    title: str
    legend: tuple[Sample, ...]
    left: float
    top: float
    width: float
    height: float
    y_ticks: tuple[Tick, ...]

    def x_of(self, x: float) -> float | None:
        """Return the horizontal position of a value, or None outside of the limits."""
        place = place_of(self.chart.shown_x(), x, self.chart.x.log)
        return None if place is None else self.left + place * self.width

    def y_of(self, y: float) -> float | None:
        """Return the vertical position of a value, or None outside of the limits."""
        place = place_of(self.chart.shown_y(), y, self.chart.y.log)
        return None if place is None else self.top + (1 - place) * self.height


def lay_out(chart: Chart, width: int, height: int, title: str, theme: Theme) -> Frame:
    """Return where title, legend and axes leave room for the data."""
    legend = _lay_out_legend(chart, width, most=max(1, int(0.3 * height / ROW)))
    rows = 1 + max((sample.row for sample in legend), default=-1)
    top = EDGE + (22 if title else 0) + rows * ROW + (26 if chart.y.label else 8)
    bottom = 50 if chart.x.label else 34
    y_ticks = tuple(ticks(chart.y, chart.shown_y(), max(2, min(8, (height - top - bottom) // 40))))
    left = EDGE + 8 + max((text_width(tick.label) for tick in y_ticks), default=0)
    return Frame(chart, theme, title, legend, left, top, width - left - 24, height - top - bottom, y_ticks)


def _lay_out_legend(chart: Chart, width: int, most: int) -> tuple[Sample, ...]:
    """Return the entries with a name in rows, at most `most` of them; the last one counts those that are left out."""
    found: list[tuple[str, Key, Line | None]] = [(one.name, one.colour, one.line) for one in chart.series]
    if chart.stack is not None:
        found += [(name, colour, None) for name, colour in zip(chart.stack.names, chart.stack.colours, strict=True)]
    found = [entry for entry in found if entry[0]]
    placed: list[Sample] = []
    x, row = float(EDGE), 0
    for number, (name, colour, line) in enumerate(found):
        name = fitted(name, width - 2 * EDGE - 100)
        wide = 30 + text_width(name) + EDGE
        reserve = 80 if row == most - 1 and number < len(found) - 1 else 0
        if x > EDGE and x + wide - EDGE + reserve > width - EDGE:
            if row == most - 1:
                placed.append(Sample(f"and {len(found) - number} more", "text", None, x, row))
                break
            x, row = float(EDGE), row + 1
        placed.append(Sample(name, colour, line, x, row))
        x += wide
    return tuple(placed)


def draw_frame(frame: Frame) -> Iterator[str]:
    """Yield title, legend and axes."""
    theme, chart = frame.theme, frame.chart
    top = float(EDGE)
    if frame.title:
        shown = fitted(frame.title, frame.left + frame.width - EDGE, 15)
        yield label(EDGE, top + 13, shown, theme.text, font_size=15, font_weight="600")
        top += 22
    for sample in frame.legend:
        yield from _draw_sample(sample, top + sample.row * ROW, theme)
    yield from _draw_axes(frame)
    if chart.y.label:
        yield label(EDGE, frame.top - 10, fitted(chart.y.label, frame.width), theme.colour("axis"))
    if chart.x.label:
        middle = frame.left + frame.width / 2
        shown = fitted(chart.x.label, frame.width)
        yield label(middle, frame.top + frame.height + 38, shown, theme.colour("axis"), "middle")


def _draw_sample(sample: Sample, top: float, theme: Theme) -> Iterator[str]:
    colour, middle = theme.colour(sample.colour), top + ROW / 2
    if sample.line is not None:
        ends = {"x1": sample.x, "x2": sample.x + 24, "y1": middle, "y2": middle}
        yield element("line", **ends, stroke=colour, stroke_width=2, stroke_dasharray=DASHES[sample.line])
    elif sample.colour != "text":
        yield element("rect", x=sample.x + 6, y=middle - 6, width=12, height=12, fill=colour)
    yield label(sample.x + 30, middle + 4, sample.name, theme.text)


def _draw_axes(frame: Frame) -> Iterator[str]:
    chart, theme = frame.chart, frame.theme
    right, bottom = frame.left + frame.width, frame.top + frame.height
    for tick in frame.y_ticks:
        y = frame.y_of(tick.value)
        if y is not None:
            yield element("line", x1=frame.left, x2=right, y1=y, y2=y, stroke=theme.grid)
            yield label(frame.left - 8, y + 4, tick.label, theme.colour("axis"), "end")
    end = 0.0
    for tick in ticks(chart.x, chart.shown_x(), max(1, int(frame.width // 70))):
        x = frame.x_of(tick.value)
        half = text_width(tick.label) / 2
        if x is not None and x - half >= end:
            yield element("line", x1=x, x2=x, y1=bottom, y2=bottom + 5, stroke=theme.colour("axis"))
            yield label(x, bottom + 19, tick.label, theme.colour("axis"), "middle")
            end = x + half + 8
    for end_x, end_y in ((frame.left, frame.top), (right, bottom)):
        yield element("line", x1=frame.left, x2=end_x, y1=bottom, y2=end_y, stroke=theme.colour("axis"))


def draw_marks(frame: Frame) -> Iterator[str]:
    """Yield the lines of marks and targets."""
    theme, lower = frame.theme, frame.top + frame.height
    for mark in frame.chart.marks:
        x = frame.x_of(mark.x)
        if x is None:
            continue
        ends = {"x1": x, "x2": x, "y1": frame.top, "y2": lower}
        if frame.chart.stack is not None:  # its colours may be those of the mark
            yield element("line", **ends, stroke=theme.background, stroke_width=2)
        yield element("line", **ends, stroke=theme.colour(mark.colour), stroke_dasharray="3 3")
    for target in frame.chart.targets:
        y = frame.y_of(target.y)
        if y is not None:
            ends = {"x1": frame.left, "x2": frame.left + frame.width, "y1": y, "y2": y}
            yield element("line", **ends, stroke=theme.colour(target.colour), stroke_dasharray="1 3")


def draw_labels(frame: Frame) -> Iterator[str]:
    """Yield the labels of marks and targets; those of marks step down where they would lie on each other.

    What has no room in the first rows is left out, as in a terminal: labels would cover the curves.
    """
    theme, right = frame.theme, frame.left + frame.width
    taken: list[float] = []  # where the labels of each row end
    for mark in sorted(frame.chart.marks, key=lambda mark: mark.x):
        x, text = frame.x_of(mark.x), fitted(mark.label, frame.width / 2)
        if x is None or not text:
            continue
        to_left = x + 4 + text_width(text) > right
        start = x - 4 - text_width(text) if to_left else x + 4
        row = next((row for row, end in enumerate(taken) if end <= start), len(taken))
        if row < LABEL_ROWS and (row + 1) * 15 < frame.height:
            taken[row : row + 1] = [start + text_width(text) + 4]
            place = (x - 4 if to_left else x + 4, frame.top + 13 + 15 * row)
            yield _boxed(frame, *place, text, theme.colour(mark.colour), to_left)
    for target in frame.chart.targets:
        y, text = frame.y_of(target.y), fitted(target.label, frame.width / 2)
        if y is not None and text:
            above = y - 5 if y - 17 > frame.top else y + 14
            yield _boxed(frame, right - 4, above, text, theme.colour(target.colour), to_left=True)


def _boxed(frame: Frame, x: float, y: float, text: str, colour: str, to_left: bool) -> str:
    """Return a label that stays readable where lines pass behind it."""
    left = x - text_width(text) - 2 if to_left else x - 2
    box = {"x": left, "y": y - 11, "width": text_width(text) + 4, "height": 14}
    behind = element("rect", **box, fill=frame.theme.background, fill_opacity=0.85)
    return behind + label(x, y, text, colour, "end" if to_left else None)
