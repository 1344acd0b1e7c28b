"""The keys of charts, the same in the grid and on a whole screen."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from domcli.charts import to_svg
from domcli.dashboard.palette import LIGHT
from domcli.dashboard.viewer import Viewer
from domcli.dashboard.widgets.chart import ChartView

SIZE = (960, 540)
"""Pixels of an exported chart."""
STEP = 10
"""Epochs of a long step of the cursor."""
SHARE = 0.2
"""How much of what is seen one key pans by."""
CLOSER = 1.5
"""How much closer one key zooms."""


class ChartActions(Widget):
    """What can be done with charts: all of it changes the `viewer`, and then calls `changed`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "x_axis", "x axis", tooltip="Epochs, steps or hours on the x axis"),
        Binding("w", "smoothing", "smooth", tooltip="Smooth the curves; the raw ones stay, faintly"),
        Binding("y", "log_y", "log y", tooltip="Logarithmic y axes"),
        Binding("b", "bring_together", "seeds", tooltip="Seeds of a setting as mean and band"),
        Binding("f", "full_screen", "full", tooltip="This chart on the whole screen"),
        Binding("e", "export_chart", "export", tooltip="Write this chart as an SVG into the current folder"),
        Binding("plus,equals_sign", "zoom_in", "closer", show=False),
        Binding("minus", "zoom_out", "farther", show=False),
        Binding("shift+left,ctrl+left", "pan_left", "pan to the left", show=False),
        Binding("shift+right,ctrl+right", "pan_right", "pan to the right", show=False),
        Binding("0", "reset_view", "everything again", show=False),
        Binding("left", "cursor(-1)", "cursor to the epoch before", show=False),
        Binding("right", "cursor(1)", "cursor to the next epoch", show=False),
        Binding("less_than_sign,comma", f"cursor(-{STEP})", "cursor ten epochs back", show=False),
        Binding("greater_than_sign,full_stop", f"cursor({STEP})", "cursor ten epochs on", show=False),
        Binding("home", "cursor(-1000000)", "cursor to the first epoch", show=False),
        Binding("end", "cursor(1000000)", "cursor to the last epoch", show=False),
        Binding("up,left_square_bracket", "chart(-1)", "chart before", show=False),
        Binding("down,right_square_bracket", "chart(1)", "next chart", show=False),
    ]

    viewer: Viewer
    chosen: str
    """Key of the chart that actions are about."""

    def changed(self) -> None:
        """Show what follows from the viewer now."""
        raise NotImplementedError

    def action_x_axis(self) -> None:
        """Count the x axis in epochs, steps or hours."""
        self.viewer.next_axis()
        self.changed()

    def action_smoothing(self) -> None:
        """Smooth the curves more, or not at all."""
        self.viewer.next_smoothing()
        self.changed()

    def action_log_y(self) -> None:
        """Turn logarithmic y axes on or off."""
        self.viewer.toggle_log()
        self.changed()

    def action_bring_together(self) -> None:
        """Show the seeds of a setting as mean and band, or each alone."""
        self.viewer.toggle_grouped()
        self.changed()

    def action_full_screen(self) -> None:
        """Show the chosen chart on the whole screen."""
        raise NotImplementedError

    def action_zoom_in(self) -> None:
        """Look closer."""
        self.viewer.zoom(CLOSER)
        self.changed()

    def action_zoom_out(self) -> None:
        """See more."""
        self.viewer.zoom(1 / CLOSER)
        self.changed()

    def action_pan_left(self) -> None:
        """See what was before."""
        self.viewer.pan(-SHARE)
        self.changed()

    def action_pan_right(self) -> None:
        """See what comes after."""
        self.viewer.pan(SHARE)
        self.changed()

    def action_reset_view(self) -> None:
        """See everything again."""
        self.viewer.reset()
        self.changed()

    def action_cursor(self, by: int) -> None:
        """Move the cursor by so many epochs."""
        self.viewer.step(by)
        self.changed()

    def action_chart(self, by: int) -> None:
        """Choose the next chart or one before."""
        keys = [kind.key for kind in self.viewer.kinds]
        now = keys.index(self.chosen) if self.chosen in keys else 0
        self.choose(keys[(now + by) % len(keys)])

    def choose(self, key: str) -> None:
        """Make a chart the one that actions are about."""
        self.chosen = key
        self.changed()

    def action_export_chart(self) -> None:
        """Write the chosen chart as an SVG into the current folder."""
        path = unused(Path.cwd() / f"{self._file_name()}.svg")
        try:
            path.write_text(to_svg(self.viewer.chart(self.chosen), *SIZE, theme=LIGHT.theme), encoding="utf-8")
        except OSError as error:
            self.notify(f"cannot write {path}: {error.strerror}", severity="error", markup=False)
            return
        self.notify(str(path), title="Chart written", markup=False)

    def _file_name(self) -> str:
        names = [one.run.directory.name for one in self.viewer.runs]
        return re.sub(r"[^\w.+=-]+", "-", f"{names[0]}-{self.chosen}" if len(names) == 1 else self.chosen)

    def on_chart_view_pointed(self, message: ChartView.Pointed) -> None:
        message.stop()
        if message.fixed:
            self.choose(message.key)
        if self.viewer.is_over_epochs(message.key):
            self.viewer.hover(message.x, fixed=message.fixed)
            self.changed()

    def on_chart_view_zoomed(self, message: ChartView.Zoomed) -> None:
        message.stop()
        if self.viewer.is_over_epochs(message.key):
            self.viewer.zoom(message.factor, message.at)
            self.changed()

    def on_chart_view_panned(self, message: ChartView.Panned) -> None:
        message.stop()
        if self.viewer.is_over_epochs(message.key):
            self.viewer.pan(message.share)
            self.changed()

    def on_chart_view_opened(self, message: ChartView.Opened) -> None:
        message.stop()
        self.choose(message.key)
        self.action_full_screen()


def unused(path: Path) -> Path:
    """Return the path, or the first of `name-2`, `name-3`, ... that does not exist."""
    number, wanted = 1, path
    while path.exists():
        number += 1
        path = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
    return path
