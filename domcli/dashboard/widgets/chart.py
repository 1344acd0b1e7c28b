"""One chart in a frame: drawn when it has changed, and only where it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from domcli.charts import Chart, Picture, Plot, Span, Style, draw, written
from domcli.dashboard.palette import DARK, Palette
from domcli.dashboard.reading import Note
from domcli.dashboard.widgets.frame import Row, changed_columns, lower_edge, upper_edge, with_cursor

ROOM_FOR_HEADER = 9
"""Rows of a frame from which on the chart's own title and legend stand in its upper edge."""
PLAIN = RichStyle()
"""A style, because filters cannot do without one."""
ZOOM = 1.25
"""How much closer one turn of the wheel is."""


def background_of(widget: Widget) -> str:
    """Return the background that a widget is drawn on as #rrggbb, or nothing if it is the terminal's own."""
    colour = widget.background_colors[1]
    return colour.hex6.lower() if colour.a == 1 and colour.ansi is None else ""


class ChartView(Widget):
    """Shows a chart; says what the mouse does on it in values of its x axis, and leaves it to others to act on it."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "ChartView { width: 1fr; height: 1fr; }"

    @dataclass
    class Pointed(Message):
        """The mouse is over `x`, or has left (None); `fixed`: it was clicked."""

        key: str
        x: float | None
        fixed: bool = False

    @dataclass
    class Zoomed(Message):
        """The wheel turned over `at`; a factor above 1 is closer."""

        key: str
        factor: float
        at: float | None

    @dataclass
    class Panned(Message):
        """The chart was dragged by this share of its width, to the left if positive."""

        key: str
        share: float

    @dataclass
    class Opened(Message):
        """The chart was double-clicked."""

        key: str

    def __init__(self, key: str, *, legend: bool = True) -> None:
        """`legend` says whether there is one in the upper edge."""
        super().__init__(id=f"chart-{key}")
        self.key = key
        self.plot: Plot | None = None
        """Where the data are within the frame; None before it is drawn."""
        self.draws = 0
        """How often it was drawn so far."""
        self._chart: Chart | None = None
        self._legend = legend
        self._cursor: float | None = None
        self._notes: tuple[Note, ...] = ()
        self._picture: Picture | None = None
        self._upper: tuple[Picture | None, bool, Row] = (None, False, ())
        self._selected, self._palette = False, DARK
        self._rows: list[Row] = []
        self._strips: list[Strip] = []
        self._drag: int | None = None
        self._dragged = False

    def show(
        self,
        chart: Chart,
        palette: Palette,
        *,
        cursor: float | None = None,
        notes: tuple[Note, ...] = (),
        selected: bool = False,
    ) -> None:
        """Show a chart (the same object means that nothing has changed) with a cursor, and notes in the lower edge."""
        everything = palette is not self._palette
        fresh = everything or chart is not self._chart
        if not fresh and (cursor, notes, selected) == (self._cursor, self._notes, self._selected):
            return
        self._chart, self._palette = chart, palette
        self._cursor, self._notes, self._selected = cursor, notes, selected
        self._draw(fresh, everything)

    @property
    def text(self) -> str:
        """What is seen, without colours."""
        return "\n".join("".join(span.text for span in row) for row in self._rows)

    def on_resize(self) -> None:
        self._draw(fresh=True, everything=True)

    def render_line(self, y: int) -> Strip:
        """Return a row of the frame."""
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width, self.rich_style)

    def _draw(self, fresh: bool, everything: bool) -> None:
        """Draw the chart if it is `fresh`, and put frame and cursor around what was drawn before if it is not."""
        width, height = self.size
        if self._chart is None or width < 4 or height < 3:
            return
        if fresh or self._picture is None:
            self._picture = self._drawn(self._chart, width, height)
            self.draws += 1
        before, strips = self._rows, self._strips
        self._rows = self._framed(self._chart, self._picture, width)
        behind = background_of(self)
        if everything or len(before) != len(self._rows):
            self._strips = [self._strip(row, width, behind) for row in self._rows]
            self.refresh()
            return
        regions = []
        for y, (old, new) in enumerate(zip(before, self._rows, strict=True)):
            if old != new:
                strips[y] = self._strip(new, width, behind)
                start, end = changed_columns(old, new, width)
                regions.append(Region(start, y, end - start, 1))
        if regions:
            self.refresh(*regions)

    def _drawn(self, chart: Chart, width: int, height: int) -> Picture:
        """Return the chart as large as the frame allows; its title and legend will stand in the frame's upper edge."""
        if chart.stack is not None and not self._palette.shades:
            chart = replace(chart, stack=replace(chart.stack, solid=False))
        if not self._palette.coloured:  # a line of one run looks like one of all, unless it says whose it is
            marks = tuple(mark for mark in chart.marks if mark.label or isinstance(mark.colour, str))
            chart = replace(chart, marks=marks)
        roomy = height >= ROOM_FOR_HEADER and width >= 24
        picture = draw(chart, width - 2, height - 1 if roomy else height - 2)
        if not (roomy and picture.plot.top):
            return picture
        plot = replace(picture.plot, top=picture.plot.top - 1)
        return replace(picture, height=picture.height - 1, rows=picture.rows[1:], plot=plot)

    def _framed(self, chart: Chart, picture: Picture, width: int) -> list[Row]:
        edge = Style("selected" if self._selected else "border")
        self.plot = replace(picture.plot, left=picture.plot.left + 1, top=picture.plot.top + 1)
        rows: Sequence[Row] = picture.rows
        if self._cursor is not None:
            rows = with_cursor(picture, self._cursor, written(chart.x, self._cursor))
        if self._upper[0] is not picture or self._upper[1] != self._selected:
            self._upper = picture, self._selected, upper_edge(chart, width, edge, self._legend)
        side = Span("│", edge)
        return [
            self._upper[2],
            *((side, *row, side) for row in rows),
            lower_edge(self._notes, width, edge),
        ]

    def _strip(self, row: Row, width: int, behind: str) -> Strip:
        return Strip([Segment(text, self._palette.style(look, behind)) for text, look in row], width)

    def _x_at(self, column: int) -> float | None:
        return None if self.plot is None else self.plot.x_at(column)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._drag is None:
            self.post_message(self.Pointed(self.key, self._x_at(event.x)))
        elif self.plot is not None and event.x != self._drag:
            self.post_message(self.Panned(self.key, (self._drag - event.x) / max(1, self.plot.columns)))
            self._drag, self._dragged = event.x, True

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._drag, self._dragged = event.x, False
        self.capture_mouse()

    def on_mouse_up(self) -> None:
        self._drag = None
        self.release_mouse()

    def on_leave(self) -> None:
        self.post_message(self.Pointed(self.key, None))

    def on_click(self, event: events.Click) -> None:
        if event.chain == 2:
            self.post_message(self.Opened(self.key))
        elif not self._dragged:
            self.post_message(self.Pointed(self.key, self._x_at(event.x), fixed=True))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, 1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, -1)

    def on_mouse_scroll_left(self, event: events.MouseScrollLeft) -> None:
        self._sideways(event, -1)

    def on_mouse_scroll_right(self, event: events.MouseScrollRight) -> None:
        self._sideways(event, 1)

    def _wheel(self, event: events.MouseEvent, direction: int) -> None:
        if event.shift or event.ctrl:
            self._sideways(event, -direction)
            return
        event.stop()
        event.prevent_default()
        self.post_message(self.Zoomed(self.key, ZOOM**direction, self._x_at(int(event.x))))

    def _sideways(self, event: events.MouseEvent, direction: int) -> None:
        event.stop()
        event.prevent_default()
        self.post_message(self.Panned(self.key, direction / 10))
