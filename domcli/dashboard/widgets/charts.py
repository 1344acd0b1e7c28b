"""The charts of the marked runs in a grid, with a row that names them all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.segment import Segment
from textual import events
from textual.app import ComposeResult
from textual.containers import Grid
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from domcli.charts import Style
from domcli.dashboard.curves import KINDS, Kind
from domcli.dashboard.palette import Palette, palette_for
from domcli.dashboard.screens.full_chart import FullChart
from domcli.dashboard.shown import Shown
from domcli.dashboard.viewer import SYSTEM, Viewer
from domcli.dashboard.widgets.chart import PLAIN, ChartView
from domcli.dashboard.widgets.chart_actions import ChartActions
from domcli.devices import Gpu

NARROWEST, LOWEST = 46, 11
"""Columns and rows that a chart has at least, if there are so many."""
MOST_COLUMNS = 3
AT_ONCE_SECONDS = 0.01
"""After so long what was drawn is sent to the terminal, which takes longer than drawing it."""
FRAME_SECONDS = 0.02


def grid_size(width: int, height: int, charts: int) -> tuple[int, int]:
    """Return columns and rows of charts for a space of so many characters, no more than the charts need."""
    columns = min(MOST_COLUMNS, max(1, width // NARROWEST), max(1, charts))
    rows = min(max(1, height // LOWEST), -(-charts // columns))
    return columns, max(1, rows)


class ChartNames(Widget):
    """One row with the names of all charts, those that are seen brighter; a click goes to a chart."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "ChartNames { height: 1; width: 1fr; }"

    @dataclass
    class Picked(Message):
        """A name was clicked."""

        key: str

    def __init__(self) -> None:
        super().__init__()
        self._content: tuple[object, ...] = ()
        self._places: list[tuple[int, int, str]] = []
        self._strip = Strip.blank(0, PLAIN)

    def show(self, kinds: Sequence[Kind], seen: Sequence[str], chosen: str, words: str, palette: Palette) -> None:
        """Show the names of the charts; `words` stand at the right end."""
        content = (tuple(kinds), tuple(seen), chosen, words, palette, self.size.width)
        if content == self._content:
            return
        self._content = content
        segments, self._places, column = [Segment(" ", PLAIN)], [], 1
        room = self.size.width - len(words) - 4
        first = next((n for n, kind in enumerate(kinds) if kind.key in seen), 0)
        needed = sum(len(kind.short) + 2 for kind in kinds)
        skipped = first if needed > room else 0
        if skipped:
            segments.append(Segment("‹ ", palette.style(Style("axis"))))
            self._places.append((column, column + 2, kinds[skipped - 1].key))
            column += 2
        for kind in kinds[skipped:]:
            if column + len(kind.short) + 2 > room:
                segments.append(Segment("›", palette.style(Style("axis"))))
                self._places.append((column, column + 2, kind.key))
                column += 1
                break
            look = Style("title" if kind.key in seen else "axis", bold=kind.key == chosen)
            segments += [Segment(kind.short, palette.style(look)), Segment("  ", PLAIN)]
            self._places.append((column, column + len(kind.short) + 2, kind.key))
            column += len(kind.short) + 2
        if room > 0:
            blank = max(0, self.size.width - column - len(words) - 1)
            segments += [Segment(" " * blank, PLAIN), Segment(words + " ", palette.style(Style("axis")))]
        self._strip = Strip(segments)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return the row."""
        return (
            Strip.blank(self.size.width, self.rich_style)
            if y
            else self._strip.extend_cell_length(self.size.width).apply_style(self.rich_style)
        )

    def on_click(self, event: events.Click) -> None:
        for start, end, key in self._places:
            if start <= event.x < end:
                self.post_message(self.Picked(key))


class ChartGrid(ChartActions):
    """The charts of the marked runs; as many as fit at a time. Everything it shows comes from its `viewer`."""

    can_focus = True
    DEFAULT_CSS = """
    ChartGrid { layout: vertical; width: 1fr; height: 1fr; }
    ChartGrid > Grid { width: 1fr; height: 1fr; }
    """

    @dataclass
    class Inspected(Message):
        """What the cursor reads in all charts, in one line for the status; empty without a cursor."""

        text: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.viewer = Viewer()
        self.chosen = KINDS[0].key
        self._names = ChartNames()
        self._views = {kind.key: ChartView(kind.key) for kind in KINDS + SYSTEM}
        self._grid = Grid(*self._views.values())
        self._seen: tuple[str, ...] = ()
        self._text = ""
        self._awaited = False
        self._full: FullChart | None = None

    def compose(self) -> ComposeResult:
        """Yield the row of names and the charts."""
        yield self._names
        yield self._grid

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, lambda _: self.changed())
        self._lay_out()

    def show(self, runs: Sequence[Shown]) -> None:
        """Show the marked runs; does next to nothing if nothing has changed."""
        if self.viewer.show(runs):
            self.changed()

    def show_system(self, gpus: Sequence[Gpu], at: float) -> None:
        """Show how busy the GPUs are at this time (seconds)."""
        before = self.viewer.kinds
        self.viewer.show_system(gpus, at)
        if self.viewer.kinds != before or any(kind.key in self._seen for kind in SYSTEM):
            self.changed()

    def changed(self) -> None:
        """Draw what has changed, once all that is waiting has been dealt with."""
        if not self._awaited and self.is_mounted:
            self._awaited = True
            self.call_later(self._draw)

    @property
    def seen(self) -> tuple[str, ...]:
        """Keys of the charts that are seen now."""
        return self._seen

    def on_resize(self) -> None:
        self.changed()

    def on_show(self) -> None:
        self.changed()

    def on_focus(self) -> None:
        self.changed()

    def on_blur(self) -> None:
        self.changed()

    def on_chart_names_picked(self, message: ChartNames.Picked) -> None:
        message.stop()
        self.choose(message.key)

    def action_full_screen(self) -> None:
        """Show the chosen chart on the whole screen."""
        if self._full is None:
            self._full = FullChart(self.viewer, self.chosen)
            self.app.push_screen(self._full, self._left_full_screen)

    def _left_full_screen(self, chosen: str | None) -> None:
        self._full = None
        self.choose(chosen or self.chosen)

    def _lay_out(self) -> None:
        """Show the page on which the chosen chart is, as a grid that fits."""
        keys = [kind.key for kind in self.viewer.kinds]
        if self.chosen not in keys:
            self.chosen = keys[0]
        columns, rows = grid_size(self.size.width, self.size.height - 1, len(keys))
        page = columns * rows
        first = keys.index(self.chosen) // page * page
        seen = tuple(keys[first : first + page])
        size = (columns, -(-len(seen) // columns))
        styles = self._grid.styles
        if seen == self._seen and size == (styles.grid_size_columns, styles.grid_size_rows):
            return
        self._seen = seen
        styles.grid_size_columns, styles.grid_size_rows = size
        for key, view in self._views.items():
            view.display = key in seen

    async def _draw(self) -> None:
        """Draw the charts that are seen, a few at a time: what else is waiting is dealt with in between."""
        self._awaited = False
        if self._full is not None:
            self._full.changed()
            return
        if not self.is_mounted or not self.size:
            return
        self._lay_out()
        palette = palette_for(self.app)
        began = time.monotonic()
        for key in self._seen:
            if time.monotonic() - began > AT_ONCE_SECONDS:
                await asyncio.sleep(FRAME_SECONDS)
                began = time.monotonic()
            chart, chosen = self.viewer.chart(key), key == self.chosen and self.has_focus
            cursor = self.viewer.cursor(key)
            self._views[key].show(chart, palette, cursor=cursor, notes=self.viewer.notes(key), selected=chosen)
            await asyncio.sleep(0)
        self._names.show(self.viewer.kinds, self._seen, self.chosen, self.viewer.settings(), palette)
        text = self.viewer.sentence(self.size.width)
        if text != self._text:
            self._text = text
            self.post_message(self.Inspected(text))
