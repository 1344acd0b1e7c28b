"""The screen with the runs: list, charts and detail, fed by snapshots."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Input, Static

from domcli.dashboard import chart_keys, selection
from domcli.dashboard.messages import ReadingFailed, SnapshotRead, Steered, SystemRead
from domcli.dashboard.model import Listed, Reader, Snapshot, Wanted
from domcli.dashboard.screens import charting
from domcli.dashboard.screens.steer import SteerActions
from domcli.dashboard.widgets.detail import DetailPanel, Tab
from domcli.dashboard.widgets.footer import KeyLine
from domcli.dashboard.widgets.header import HeaderLine
from domcli.dashboard.widgets.run_list import RunList
from domcli.dashboard.widgets.runs import RunsPanel

if TYPE_CHECKING:
    from domcli.dashboard.widgets.charts import ChartGrid

Panel = Literal["runs", "charts", "detail"]
PANELS: tuple[Panel, ...] = ("runs", "charts", "detail")
TWO_COLUMNS, THREE_COLUMNS, USUAL, WIDE = 80, 120, 144, 200
REST_SECONDS = 0.15
"""Of rows that the cursor passes quicker than that, only the last is shown in detail."""
LOW = 30
"""With fewer rows, less than three columns are one."""


class MainScreen(SteerActions, Screen[None]):
    """List, charts and detail side by side, or one at a time."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "panel(1)", "panel", tooltip="Go to the next panel"),
        Binding("question_mark", "help", "help", key_display="?", tooltip="Explain this screen"),
        Binding("q", "app.quit", "quit", tooltip="Leave; the runs go on"),
        *SteerActions.KEYS,
        # Before the next key is given to anything: over a slow line several come at once.
        Binding("slash", "filter", "filter", key_display="/", tooltip="Filter the runs as you type", priority=True),
        Binding("g", "group", "group", tooltip="Group the runs by setting, or list each"),
        Binding("o", "sort", "sort", tooltip="Sort by the next column"),
        Binding("m", "unmark", "unmark", show=False, tooltip="Unmark all runs"),
        *chart_keys.keys_everywhere(),
        Binding("v", "tab('overview')", "overview", show=False, tooltip="Detail: overview"),
        Binding("s", "tab('settings')", "settings", show=False, tooltip="Detail: settings and what differs"),
        Binding("l", "tab('log')", "log", show=False, tooltip="Detail: end of the log; again: all of it"),
        Binding("shift+tab", "panel(-1)", "panel before", show=False),
        Binding("escape", "back", "back", show=False),
    ]
    AUTO_FOCUS = "#run-list"

    def __init__(self, runs_dir: Path, *, steerable: bool, note: str = "") -> None:
        super().__init__()
        self.runs_dir = runs_dir
        self.steerable = steerable
        self._note = note
        self.snapshot = Snapshot(unread=1)
        self.marks: dict[str, int] = {}
        self.panel: Panel = "runs"
        self._go_to: str | None = None
        self._able: tuple[bool, ...] = ()
        self._charts: ChartGrid | None = None
        self._opening = False
        self._moved_at = 0.0
        self._resting: Timer | None = None
        self._pace = charting.Pace()

    def compose(self) -> ComposeResult:
        yield HeaderLine(self.runs_dir, self._note)
        with Horizontal(id="columns"):
            yield RunsPanel(id="runs")
            with Vertical(id="middle"):
                yield Static(id="status")
            yield DetailPanel(id="detail")
        yield KeyLine()

    @property
    def targets(self) -> tuple[Listed, ...]:
        """The runs that a command is about (see selection.targets)."""
        return selection.targets(self.query_one(RunsPanel).row, self.marks, self.snapshot.runs)

    @property
    def under_cursor(self) -> Listed | None:
        """The run under the cursor, or the first one of a heading."""
        row = self.query_one(RunsPanel).row if self.is_mounted else None
        return row.runs[0] if row else None

    @property
    def marked(self) -> list[Listed]:
        """The marked runs, in the order in which they were marked."""
        by_name = {one.name: one for one in self.snapshot.runs}
        return [by_name[name] for name in self.marks if name in by_name]

    def on_resize(self, event: events.Resize) -> None:
        width, height = event.size
        three = width >= THREE_COLUMNS
        two = not three and width >= TWO_COLUMNS and height >= LOW
        self.set_class(not three and not two, "-one")
        self.set_class(two, "-two")
        self.set_class(three and width < USUAL, "-tight")
        self.set_class(width >= WIDE, "-wide")
        self._show_panel()

    @on(SnapshotRead)
    def _read(self, message: SnapshotRead) -> None:
        if self._is_closing:
            return
        self.snapshot = message.snapshot
        names = {one.name for one in self.snapshot.runs}
        if not self.snapshot.unread:
            self.marks = {name: self.marks[name] for name in self.marks if name in names}
        self.query_one(HeaderLine).show(self.snapshot)
        self._show_runs()
        if self._go_to in names:
            self.query_one(RunList).go_to(str(self._go_to))
            self._go_to = None
        if self._resting is None:
            self._follow()
        else:
            self._show_chosen()  # nothing is read of runs that the cursor passes by
        if not self._opening:
            self._opening = True
            self.call_after_refresh(self.run_worker, self._open_charts)

    @on(SystemRead)
    def _system(self, message: SystemRead) -> None:
        if self._is_closing:
            return
        self.query_one(HeaderLine).show_system(message.system)
        if self._charts is not None:
            self._charts.show_system(message.system.gpus, message.system.time)

    @on(ReadingFailed)
    def _reading_failed(self, message: ReadingFailed) -> None:
        self.notify(message.problem, severity="error", markup=False)

    @on(Steered)
    def _steered(self, message: Steered) -> None:
        if message.done:
            self.notify(message.done, markup=False)
        for problem in message.problems:
            self.notify(problem, severity="error", markup=False)
        self._go_to = message.show or self._go_to
        cast("Reader", self.app).hurry()

    @on(RunList.Moved)
    def _moved(self, message: RunList.Moved) -> None:
        message.stop()
        before, self._moved_at = self._moved_at, time.monotonic()
        if self._moved_at - before < REST_SECONDS:
            self._rest()
            self._resting = self.set_timer(REST_SECONDS, self._follow)
        else:
            self._follow()

    @on(RunsPanel.ViewChanged)
    def _listed_otherwise(self, message: RunsPanel.ViewChanged) -> None:
        message.stop()
        self._follow()

    @property
    def _is_closing(self) -> bool:
        """Whether the dashboard is being left: panels may be gone already, while what was begun still ends."""
        return not (self.app.is_running and self.is_attached)

    def _rest(self) -> None:
        """Forget that the cursor is passing by."""
        if self._resting is not None:
            self._resting.stop()
            self._resting = None

    def _follow(self) -> None:
        """Have charts, detail and keys follow the list: all that changes rows, cursor or marks ends here."""
        self._rest()
        if self._is_closing:
            return
        self._want()
        self._show_chosen()

    @on(RunList.Marked)
    def _marked(self, message: RunList.Marked) -> None:
        message.stop()
        self.marks = selection.toggled(self.marks, [one.name for one in message.row.runs])
        self._show_runs()
        self._follow()

    @on(RunList.Opened)
    def _opened(self, message: RunList.Opened) -> None:
        message.stop()
        self._go_to_panel("charts")

    def on_chart_grid_inspected(self, message: ChartGrid.Inspected) -> None:
        message.stop()
        self.query_one("#status", Static).update(message.text, layout=False)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        for panel in PANELS:
            if any(event.widget in found.walk_children(with_self=True) for found in self.query(f"#{panel}")):
                self.panel = panel

    def action_filter(self) -> None:
        """Filter the runs."""
        self.panel = "runs"
        self._show_panel()
        self.query_one(RunsPanel).start_filter()

    def action_group(self) -> None:
        """Group the runs by setting, or list each."""
        panel = self.query_one(RunsPanel)
        panel.change(grouped=not panel.view.grouped)

    def action_sort(self) -> None:
        """Sort by the next key."""
        self.query_one(RunsPanel).sort_next()

    def action_unmark(self) -> None:
        """Unmark all runs."""
        self.marks = {}
        self._show_runs()
        self._follow()

    async def action_charts(self, action: str) -> None:
        """Do something with the charts, wherever the focus is."""
        if self._charts is not None:
            if self._resting is not None and action.startswith("export"):
                self._follow()  # what is written is to be of the run under the cursor
            await self.app.run_action(action, self._charts)

    async def action_tab(self, tab: Tab) -> None:
        """Show a tab of the detail, or all of the log if its end is shown already."""
        detail = self.query_one(DetailPanel)
        seen = detail.display and (not self.has_class("-one") or self.panel == "detail")
        if tab == "log" and detail.tab == "log" and seen:
            await self.run_action("full_log")
            return
        detail.choose(tab)
        if self.has_class("-one"):
            self._go_to_panel("detail")

    def action_panel(self, by: int) -> None:
        """Go to the next panel."""
        self._go_to_panel(PANELS[(PANELS.index(self.panel) + by) % len(PANELS)])

    def action_back(self) -> None:
        """Leave the filter, or go back to the list."""
        runs = self.query_one(RunsPanel)
        if isinstance(self.focused, Input) or (self.panel == "runs" and runs.view.filter):
            runs.clear_filter()
        self._go_to_panel("runs")

    def _go_to_panel(self, panel: Panel) -> None:
        self.panel = panel
        self._show_panel()
        focus = {"runs": "#run-list", "charts": "#charts", "detail": "#detail-scroll"}
        for widget in self.query(focus[panel]):  # the charts may not be there yet
            widget.focus()

    def _show_panel(self) -> None:
        for panel in PANELS:
            self.set_class(panel == self.panel, f"-{panel}")

    async def _open_charts(self) -> None:
        """Add the charts, which take long to load, once the runs are listed; then load what keys will need."""
        grid = await asyncio.to_thread(charting.load_chart_grid)
        if self._is_closing:
            return
        self._charts = grid(id="charts")
        await self.query_one("#middle").mount(self._charts, before=0)
        if self.panel == "charts":
            self._go_to_panel("charts")
        self._follow()
        await asyncio.to_thread(charting.load_screens)

    def _colour(self, name: str) -> str:
        """Return the colour of a marked run as styles of text name it."""
        from domcli.dashboard.palette import palette_for

        colour = palette_for(self.app).run_colour(self.marks[name])
        return colour if colour.startswith("#") else f"ansi_{colour}"

    def _show_runs(self) -> None:
        complete = not self.snapshot.unread
        self.query_one(RunsPanel).show(self.snapshot.runs, self.marks, complete=complete)
        if self.focused is None and self.panel == "runs":
            self.query_one(RunList).focus()  # it was not there before the first run

    def _want(self) -> None:
        """Have those runs read that are to be shown."""
        row, one = self.query_one(RunsPanel).row, self.under_cursor
        names = {*selection.chosen(row, self.marks), *([one.name] if one else [])}
        cast("Reader", self.app).want(Wanted(frozenset(names), one.name if one else None))

    def _show_chosen(self) -> None:
        """Show what is known of the runs that are marked and of the one under the cursor."""
        row, one, snapshot = self.query_one(RunsPanel).row, self.under_cursor, self.snapshot
        colours = selection.chosen(row, self.marks)
        shown = selection.shown(colours, snapshot)
        if self._charts is not None and (shown or not colours) and self._pace.is_due(shown):
            self._charts.show(shown)
        marked = [(listed, self._colour(listed.name)) for listed in self.marked]
        run = None if one is None else snapshot.whole.get(one.name, one.run)
        paper = None if one is None else snapshot.papers.get(one.group)
        self.query_one(DetailPanel).show(one, run, snapshot.detail, marked, paper)
        able = self.abilities()
        if able != self._able:
            self._able = able
            self.refresh_bindings()
