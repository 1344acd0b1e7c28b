"""What the keys of charts do, the same in the grid and on a whole screen."""

from __future__ import annotations

import io
import re
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from textual.binding import BindingType
from textual.widget import Widget

from domcli.charts import to_svg
from domcli.dashboard.chart_keys import KEYS
from domcli.dashboard.palette import LIGHT
from domcli.dashboard.viewer import Viewer
from domcli.dashboard.ways_out import write_new
from domcli.dashboard.widgets.chart import ChartView
from domcli.errors import DomcliError

Format = Literal["svg", "png"]
MIME: dict[Format, str] = {"svg": "image/svg+xml", "png": "image/png"}
SIZE = (960, 540)
"""Pixels of an exported chart."""
SHARE = 0.2
"""How much of what is seen one key pans by."""
CLOSER = 1.5
"""How much closer one key zooms."""


class ChartActions(Widget):
    """What can be done with charts: all of it changes the `viewer`, and then calls `changed`."""

    BINDINGS: ClassVar[list[BindingType]] = KEYS

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

    def action_export_chart(self, kind: Format) -> None:
        """Write the chosen chart into the current folder; in a browser, it is a download."""
        svg = to_svg(self.viewer.chart(self.chosen), *SIZE, title=self._title(), theme=LIGHT.theme)
        self.run_worker(partial(self._export, svg, f"{self._file_name()}.{kind}", kind), thread=True)

    def _export(self, svg: str, name: str, kind: Format) -> None:
        app = self.app
        try:
            data = _encoded(svg, kind)
            if app.is_web:
                deliver = partial(app.deliver_binary, io.BytesIO(data), save_filename=name, mime_type=MIME[kind])
                app.call_from_thread(deliver)
                return
            path = write_new(Path.cwd() / name, data)
        except OSError as error:
            problem = f"cannot write {Path.cwd() / name}: {error.strerror}"
        except DomcliError as error:
            problem = str(error)
        else:
            app.call_from_thread(self.notify, str(path), title="Chart written", markup=False)
            return
        app.call_from_thread(self.notify, problem, severity="error", markup=False)

    def _title(self) -> str:
        """Return the chart's title with what it is of, where that is one run or one setting."""
        title, runs = self.viewer.chart(self.chosen).title, self.viewer.runs
        if len(runs) == 1:
            return f"{title} · {runs[0].run.directory.name}"
        groups = {one.group for one in runs}
        return f"{title} · {groups.pop()}" if len(groups) == 1 and " · " not in title else title

    def _file_name(self) -> str:
        """Return the run or the setting and the chart, with how many runs it is of if there are several."""
        runs = self.viewer.runs
        of = {one.run.directory.name for one in runs} if len(runs) == 1 else {one.group for one in runs}
        parts = [*(of if len(of) == 1 else ()), self.chosen, *([f"{len(runs)}-runs"] if len(runs) > 1 else ())]
        return "-".join(re.sub(r"[^\w.+=-]+", "-", part).strip("-") for part in parts)

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


def _encoded(svg: str, kind: Format) -> bytes:
    if kind == "svg":
        return svg.encode()
    from domcli.exchange.png import to_png

    return to_png(svg)
