"""The list of runs: draws the lines that are seen, and again only those that have changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events, on
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from domcli.dashboard import list_columns
from domcli.dashboard.list_columns import Column, Piece
from domcli.dashboard.rows import GROUP, Row, SortKey
from domcli.dashboard.widgets import run_lines
from domcli.dashboard.widgets.run_lines import FRONT

STATES = ("running", "starting", "queued", "failed", "lost", "stopped", "finished")
Drawn = tuple[Row, tuple[int | None, ...], list[Piece]]
"""A row, the colours of its marked runs, and the line that was made of them."""
SEVERITIES = ("critical", "warning", "notice")


class RunList(ScrollView, can_focus=True):
    """A line for each row, under titles that sort. Rows are known by their keys: the cursor stays on its run.

    While runs are still being read it stays at the top, unless it was moved.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"run-list--{name}" for name in (*STATES, *SEVERITIES, "title", "dim", "name", "track", "cursor", "hover"))
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "move(-100000)", "First", show=False),
        Binding("end,G", "move(100000)", "Last", show=False),
        Binding("space", "mark", "mark", tooltip="Mark the run for the charts, or all runs of a heading"),
        Binding("left", "fold(True)", "Fold", show=False),
        Binding("right", "fold(False)", "Unfold", show=False),
    ]

    class Moved(Message):
        """The cursor is on another row."""

    @dataclass
    class Marked(Message):
        """A row is to be marked, or not any more."""

        row: Row

    @dataclass
    class Folded(Message):
        """The runs under a heading are to be listed, or not."""

        row: Row
        folded: bool

    @dataclass
    class SortAsked(Message):
        """The title of a column was clicked."""

        sort: SortKey

    class Opened(Message):
        """A row was clicked twice, or Enter pressed on it."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.rows: list[Row] = []
        self._marks: Mapping[str, int] = {}
        self._sort: tuple[SortKey, bool] = ("state", False)
        self._cursor = 0
        self._settled = False
        self._hover = -1
        self._columns: list[Column] = []
        self._lines: list[list[Piece]] = []
        self._drawn: Mapping[str, Drawn] = {}
        self._styles: dict[str, Style] = {}

    @property
    def row(self) -> Row | None:
        """The row under the cursor."""
        return self.rows[self._cursor] if self._cursor < len(self.rows) else None

    def show(
        self, rows: Sequence[Row], marks: Mapping[str, int], sort: SortKey, reverse: bool, *, complete: bool = True
    ) -> None:
        """Show these rows; `marks` are the colours of the marked runs by name. The cursor stays on its run.

        `complete` says whether all runs have been read: only then is the first row the one to stay on.
        """
        before = self.row
        shift = 0
        if before is not None and self._settled:
            place = _place_of(before, rows)
            if place is None:
                place = min(self._cursor, max(0, len(rows) - 1))
            else:
                shift = place - self._cursor
            self._cursor = place
        self._settled = self._settled or (complete and bool(rows))
        if self._sort != (sort, reverse):
            self.refresh()  # the titles say it
        self.rows, self._marks, self._sort = list(rows), marks, (sort, reverse)
        self.virtual_size = Size(self.size.width, len(self.rows) + 1)
        if shift and self.scroll_offset.y:
            self.scroll_to(y=self.scroll_offset.y + shift, animate=False)
        self._lay_out()
        if (self.row and self.row.key) != (before and before.key):
            self.post_message(self.Moved())

    def go_to(self, key: str) -> None:
        """Put the cursor on a row."""
        for place, row in enumerate(self.rows):
            if row.key == key:
                self._go(place)

    def render_line(self, y: int) -> Strip:
        """Return the titles, or the row that stands at this line."""
        width = self.size.width
        if y == 0:
            return self._title_strip(width)
        place = y - 1 + self.scroll_offset.y
        if place >= len(self._lines):
            return Strip.blank(width, self._style("plain"))
        background = self._style("plain")
        if place == self._cursor:
            background += self._style("cursor")
        elif place == self._hover:
            background += self._style("hover")
        plain = bool(background.reverse)  # a line of several colours cannot be turned round as one
        pieces = self._lines[place]
        segments = [Segment(text, background if plain else background + self._style(style)) for text, style in pieces]
        return Strip(segments).adjust_cell_length(width, background)

    def notify_style_update(self) -> None:
        """Forget the colours of the last theme."""
        super().notify_style_update()
        self._styles = {}

    def on_resize(self) -> None:
        self.virtual_size = Size(self.size.width, len(self.rows) + 1)
        self._lay_out()
        self._keep_in_sight()

    @on(events.Focus)
    @on(events.Blur)
    def _forget_styles(self) -> None:
        self._styles = {}
        self.refresh()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        self._set_hover(event.y - 1 + self.scroll_offset.y if event.y > 0 else -1)

    def on_leave(self) -> None:
        self._set_hover(-1)

    def on_click(self, event: events.Click) -> None:
        if event.y == 0:
            self._click_title(event.x)
            return
        place = event.y - 1 + self.scroll_offset.y
        if place >= len(self.rows):
            return
        self._go(place)
        row = self.rows[place]
        if event.x < 2 or event.ctrl:
            self.post_message(self.Marked(row))
        elif row.heading and event.x < FRONT + 2:
            self.post_message(self.Folded(row, not row.folded))
        elif event.chain == 2:
            self.post_message(self.Opened())

    def action_move(self, by: int) -> None:
        """Move the cursor."""
        self._go(self._cursor + by)

    def action_page(self, by: int) -> None:
        """Move the cursor by what is seen at a time."""
        self._go(self._cursor + by * max(1, self.size.height - 2))

    def action_mark(self) -> None:
        """Mark the run, or all runs of a heading, for the charts."""
        if self.row is not None:
            self.post_message(self.Marked(self.row))
            self._go(self._cursor + 1)

    def action_fold(self, folded: bool) -> None:
        """Hide the runs under a heading, or list them."""
        if self.row is not None and self.row.heading:
            self.post_message(self.Folded(self.row, folded))
        elif self.row is not None and self.row.indented and folded:
            heading = max(place for place in range(self._cursor) if self.rows[place].heading)
            self._go(heading)

    def key_enter(self) -> None:
        """Open what is under the cursor."""
        row = self.row
        if row is None:
            return
        self.post_message(self.Folded(row, not row.folded) if row.heading else self.Opened())

    def _go(self, place: int) -> None:
        place = max(0, min(place, len(self.rows) - 1))
        self._settled = True
        if place == self._cursor or not self.rows:
            return
        before, self._cursor = self._cursor, place
        self.refresh_lines(before + 1)
        self.refresh_lines(place + 1)
        self._keep_in_sight()
        self.post_message(self.Moved())

    def _keep_in_sight(self) -> None:
        top, seen = self.scroll_offset.y, max(1, self.size.height - 1)
        if self._cursor < top:
            self.scroll_to(y=self._cursor, animate=False)
        elif self._cursor >= top + seen:
            self.scroll_to(y=self._cursor - seen + 1, animate=False)

    def _set_hover(self, place: int) -> None:
        if place != self._hover:
            before, self._hover = self._hover, place
            self.refresh_lines(before + 1)
            self.refresh_lines(place + 1)

    def _lay_out(self) -> None:
        """Make the lines anew, and draw those that are not as they were."""
        width = self.container_size.width - self.styles.scrollbar_size_vertical
        planned = list_columns.plan(width - FRONT, self.rows)
        known = self._drawn if planned == self._columns else {}
        self._drawn = {row.key: self._drawn_row(row, planned, known) for row in self.rows}
        lines = [self._drawn[row.key][2] for row in self.rows]
        if planned != self._columns or abs(len(lines) - len(self._lines)) > self.size.height:
            self.refresh()
        else:
            for place in range(max(len(lines), len(self._lines))):
                if lines[place : place + 1] != self._lines[place : place + 1]:
                    self.refresh_lines(place + 1)
        self._columns, self._lines = planned, lines

    def _drawn_row(self, row: Row, planned: Sequence[Column], known: Mapping[str, Drawn]) -> Drawn:
        """Return the line of a row: the one it had, if nothing about it has changed."""
        colours = tuple(self._marks.get(one.name) for one in row.runs)
        before = known.get(row.key)
        if before is not None and before[0] == row and before[1] == colours:
            return before
        return row, colours, run_lines.line(row, planned, self._marks)

    def _title_strip(self, width: int) -> Strip:
        style = self._style("plain") + self._style("title")
        return Strip([Segment(run_lines.titles(self._columns, *self._sort), style)]).adjust_cell_length(width, style)

    def _click_title(self, x: int) -> None:
        sort = run_lines.sort_at(self._columns, x)
        if sort is not None:
            self.post_message(self.SortAsked(sort))

    def _style(self, name: str) -> Style:
        if name not in self._styles:
            if name.startswith("colour "):
                from domcli.dashboard.palette import palette_for

                self._styles[name] = Style.parse(palette_for(self.app).run_colour(int(name.partition(" ")[2])))
            elif name == "plain":
                self._styles[name] = self.rich_style
            else:
                self._styles[name] = self._component(name) if name else Style()
        return self._styles[name]

    def _component(self, name: str) -> Style:
        return self.get_component_rich_style(f"run-list--{name}", partial=True)


def _place_of(row: Row, rows: Sequence[Row]) -> int | None:
    """Return where a row is now, else the first of a heading's runs, or the heading under which a run was folded."""
    places = {one.key: place for place, one in enumerate(rows)}
    keys = (row.key, *(one.name for one in row.runs), *(GROUP + one.group for one in row.runs))
    return next((places[key] for key in keys if key in places), None)
