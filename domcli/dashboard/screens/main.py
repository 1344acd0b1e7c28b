"""The screen with the runs: list, charts and detail, fed by snapshots."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import Footer, Input, Static

from domcli.dashboard import selection
from domcli.dashboard.messages import ReadingFailed, SnapshotRead, Steered, SystemRead
from domcli.dashboard.model import Listed, Snapshot, Wanted
from domcli.dashboard.palette import palette_for
from domcli.dashboard.screens.steer import SteerActions
from domcli.dashboard.shown import Shown
from domcli.dashboard.widgets.chart_actions import ChartActions
from domcli.dashboard.widgets.charts import ChartGrid
from domcli.dashboard.widgets.detail import DetailPanel, Tab
from domcli.dashboard.widgets.header import HeaderLine
from domcli.dashboard.widgets.run_list import RunList
from domcli.dashboard.widgets.runs import RunsPanel
from domcli.rundir import RunDirectory
from domcli.runs import Run

if TYPE_CHECKING:
    from domcli.dashboard.app import DomcliApp

Panel = Literal["runs", "charts", "detail"]
PANELS: tuple[Panel, ...] = ("runs", "charts", "detail")
TWO_COLUMNS, THREE_COLUMNS, USUAL, WIDE = 80, 120, 144, 200
CHART_SECONDS = 1.0
"""Between two drawings of the charts while only the progress within an epoch changes."""
EMPTY = Run(RunDirectory(Path()))
LOW = 30
"""With fewer rows, less than three columns are one."""
LIST_KEYS = {"up", "down", "left", "right", "home", "end"}


def chart_bindings() -> list[BindingType]:
    """Return the keys of the charts that work wherever the cursor is: those that no other panel needs."""
    found: list[BindingType] = []
    for binding in Binding.make_bindings(ChartActions.BINDINGS):
        if binding.key not in LIST_KEYS:
            action = f"charts({binding.action!r})"
            found.append(Binding(binding.key, action, binding.description, binding.show, tooltip=binding.tooltip))
    return found


class MainScreen(SteerActions, Screen[None]):
    """List, charts and detail side by side, or one at a time."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "panel(1)", "panel", tooltip="Go to the next panel"),
        Binding("question_mark", "help", "help", key_display="?", tooltip="Explain this screen"),
        *SteerActions.KEYS,
        Binding("slash", "filter", "filter", key_display="/", tooltip="Filter the runs as you type"),
        Binding("g", "group", "group", tooltip="Group the runs by setting, or list each"),
        Binding("o", "sort", "sort", tooltip="Sort by the next column"),
        Binding("m", "unmark", "unmark", show=False, tooltip="Unmark all runs"),
        *chart_bindings(),
        Binding("v", "tab('overview')", "overview", show=False, tooltip="Detail: overview"),
        Binding("s", "tab('settings')", "settings", show=False, tooltip="Detail: settings and what differs"),
        Binding("l", "tab('log')", "log", show=False, tooltip="Detail: end of the log; again: all of it"),
        Binding("shift+tab", "panel(-1)", "panel before", show=False),
        Binding("escape", "back", "back", show=False),
        Binding("q", "app.quit", "quit", tooltip="Leave; the runs go on"),
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
        self._charted: tuple[list[object], float] = ([], 0.0)

    def compose(self) -> ComposeResult:
        yield HeaderLine(self.runs_dir, self._note)
        with Horizontal(id="columns"):
            yield RunsPanel(id="runs")
            with Vertical(id="middle"):
                yield ChartGrid(id="charts")
                yield Static(id="status")
            yield DetailPanel(id="detail")
        yield Footer(compact=True, show_command_palette=False)

    @property
    def targets(self) -> tuple[Listed, ...]:
        """The runs that a command is about (see selection.targets)."""
        return selection.targets(self.query_one(RunsPanel).row, self.marks, self.snapshot.runs)

    @property
    def under_cursor(self) -> Listed | None:
        """The run under the cursor, or the first one of a heading."""
        row = self.query_one(RunsPanel).row if self.is_mounted else None
        return row.runs[0] if row is not None else None

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
        self.snapshot = message.snapshot
        names = {one.name for one in self.snapshot.runs}
        if not self.snapshot.unread:
            self.marks = {name: colour for name, colour in self.marks.items() if name in names}
        self.query_one(HeaderLine).show(self.snapshot)
        self._show_runs()
        if self._go_to in names:
            self.query_one(RunList).go_to(str(self._go_to))
            self._go_to = None
        self._show_chosen()

    @on(SystemRead)
    def _system(self, message: SystemRead) -> None:
        self.query_one(HeaderLine).show_system(message.system)
        self.query_one(ChartGrid).show_system(message.system.gpus, message.system.time)

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
        cast("DomcliApp", self.app).hurry()

    @on(RunList.Moved)
    def _moved(self, message: RunList.Moved) -> None:
        message.stop()
        self._want()
        self._show_chosen()

    @on(RunList.Marked)
    def _marked(self, message: RunList.Marked) -> None:
        message.stop()
        self.marks = selection.toggled(self.marks, [one.name for one in message.row.runs])
        self._show_runs()
        self._want()
        self._show_chosen()

    @on(RunList.Opened)
    def _opened(self, message: RunList.Opened) -> None:
        message.stop()
        self._go_to_panel("charts")

    @on(ChartGrid.Inspected)
    def _inspected(self, message: ChartGrid.Inspected) -> None:
        message.stop()
        self.query_one("#status", Static).update(message.text, layout=False)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        for panel in PANELS:
            if event.widget in self.query_one(f"#{panel}").walk_children(with_self=True):
                self.panel = panel

    def action_filter(self) -> None:
        """Filter the runs."""
        self._go_to_panel("runs")
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
        self._want()
        self._show_chosen()

    async def action_charts(self, action: str) -> None:
        """Do something with the charts, wherever the focus is."""
        await self.app.run_action(action, self.query_one(ChartGrid))

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
        self.query_one(focus[panel]).focus()

    def _show_panel(self) -> None:
        for panel in PANELS:
            self.set_class(panel == self.panel, f"-{panel}")

    def _is_due(self, shown: Sequence[Shown]) -> bool:
        """Tell whether to draw the charts: at once for anything but the progress within an epoch."""
        content: list[object] = [(one.run.state.epochs, one.run.status, replace(one, run=EMPTY)) for one in shown]
        now = time.monotonic()
        if content == self._charted[0] and now - self._charted[1] < CHART_SECONDS:
            return False
        self._charted = (content, now)
        return True

    def _colour(self, name: str) -> str:
        """Return the colour of a marked run as styles of text name it."""
        colour = palette_for(self.app).run_colour(self.marks[name])
        return colour if colour.startswith("#") else f"ansi_{colour}"

    def _show_runs(self) -> None:
        complete = not self.snapshot.unread
        self.query_one(RunsPanel).show(self.snapshot.runs, self.marks, complete=complete)
        if self.focused is None:
            self.query_one(RunList).focus()  # it was not there before the first run

    def _want(self) -> None:
        """Have those runs read that are to be shown."""
        row, one = self.query_one(RunsPanel).row, self.under_cursor
        names = {*selection.chosen(row, self.marks), *([one.name] if one is not None else [])}
        cast("DomcliApp", self.app).want(Wanted(frozenset(names), one.name if one is not None else None))

    def _show_chosen(self) -> None:
        """Show what is known of the runs that are marked and of the one under the cursor."""
        row, one, snapshot = self.query_one(RunsPanel).row, self.under_cursor, self.snapshot
        colours = selection.chosen(row, self.marks)
        shown = selection.shown(colours, snapshot)
        if (shown or not colours) and self._is_due(shown):
            self.query_one(ChartGrid).show(shown)
        marked = [(listed, self._colour(listed.name)) for listed in self.marked]
        run = None if one is None else snapshot.whole.get(one.name, one.run)
        paper = None if one is None else snapshot.papers.get(one.group)
        self.query_one(DetailPanel).show(one, run, snapshot.detail, marked, paper)
        able = self.abilities()
        if able != self._able:
            self._able = able
            self.refresh_bindings()
