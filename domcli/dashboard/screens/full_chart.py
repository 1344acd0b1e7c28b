"""One chart on the whole screen, with a legend that has room for values."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Footer

from domcli.charts import Style
from domcli.dashboard.palette import Palette, palette_for
from domcli.dashboard.reading import Entry, Note
from domcli.dashboard.viewer import Viewer
from domcli.dashboard.widgets.chart import PLAIN, ChartView
from domcli.dashboard.widgets.chart_actions import ChartActions

SAMPLES = {"solid": "━━━━", "dashed": "╍╍╍╍", "dotted": "┅┅┅┅", None: "████"}
MOST_ROWS = 0.3
"""The part of the screen that a legend may take."""


class Legend(Widget):
    """A row for each line: its colour, its name, and its value at the cursor or at the end."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "Legend { height: auto; width: 1fr; }"

    def __init__(self) -> None:
        super().__init__()
        self._entries: tuple[Entry, ...] = ()
        self._strips: list[Strip] = []

    def show(self, entries: tuple[Entry, ...], palette: Palette, most: int) -> None:
        """Show these entries in at most so many rows, in columns."""
        width = max((len(entry.name) + len(entry.text) + 10 for entry in entries), default=20)
        columns = max(1, min(len(entries) or 1, self.size.width // width))
        rows = max(1, min(most, -(-len(entries) // columns)))
        names = max((len(entry.name) for entry in entries), default=0)
        strips = []
        for row in range(rows):
            segments = [Segment("  ", PLAIN)]
            for entry in entries[row : rows * columns : rows]:
                cells = [
                    Segment(SAMPLES[entry.line], palette.style(Style(entry.colour))),
                    Segment(f" {entry.name:{names}} ", palette.style(Style("text"))),
                    Segment(f"{entry.text:>{width - names - 8}}", palette.style(Style("title", bold=True))),
                ]
                segments += [*cells, Segment("  ", PLAIN)]
            strips.append(Strip(segments))
        if strips != self._strips:
            if len(strips) != len(self._strips):
                self.styles.height = len(strips)
            self._strips = strips
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return a row of the legend."""
        strip = self._strips[y] if y < len(self._strips) else Strip.blank(0, PLAIN)
        return strip.adjust_cell_length(self.size.width, PLAIN).apply_style(self.rich_style)


class FullChart(ChartActions, Screen[str]):
    """A chart of the viewer on the whole screen; the same keys as in the grid. Returns the chart that was seen last."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f,q", "full_screen", "back"),
    ]
    DEFAULT_CSS = "FullChart { layout: vertical; }"

    def __init__(self, viewer: Viewer, chosen: str) -> None:
        super().__init__()
        self.viewer = viewer
        self.chosen = chosen
        self._view = ChartView(chosen, legend=False)
        self._legend = Legend()

    def compose(self) -> ComposeResult:
        """Yield chart, legend and footer."""
        yield self._view
        yield self._legend
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self.call_after_refresh(self.changed)

    def on_resize(self) -> None:
        self.changed()

    def changed(self) -> None:
        """Draw what has changed."""
        if not self.is_mounted or not self.size:
            return
        palette = palette_for(self.app)
        self._view.key = self.chosen
        place = self.viewer.place()
        notes = (Note("title", (place,)),) if place else ()
        self._view.show(self.viewer.chart(self.chosen), palette, cursor=self.viewer.cursor(self.chosen), notes=notes)
        self._legend.show(self.viewer.entries(self.chosen), palette, max(1, int(self.size.height * MOST_ROWS)))

    def action_full_screen(self) -> None:
        """Go back to the grid."""
        self.dismiss(self.chosen)
