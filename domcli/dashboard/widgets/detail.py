"""The panel about one run: what it does, how well, what the watch says, how it is set, what its trainer wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.markup import escape
from textual.message import Message
from textual.widgets import Static

from domcli.dashboard import facts, words
from domcli.dashboard.model import Detail, Listed
from domcli.dashboard.widgets.numbers import Numbers
from domcli.dashboard.widgets.text_view import TextView
from domcli.printable import printable_line
from domcli.runs import Run
from domcli.runstate import headline_accuracy

Tab = Literal["overview", "settings", "log"]
TABS: tuple[Tab, ...] = get_args(Tab)
KEYS = {"overview": "v", "settings": "s", "log": "l"}


class TabLabel(Static):
    """The name of a tab, to be clicked."""

    @dataclass
    class Chosen(Message):
        """A tab is to be shown."""

        tab: Tab

    def __init__(self, tab: Tab) -> None:
        super().__init__(Content.assemble(tab, (f" {KEYS[tab]}", "$primary")), id=f"tab-{tab}")
        self._tab: Tab = tab

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.post_message(self.Chosen(self._tab))


class DetailPanel(Vertical):
    """Everything about the run under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "tab(-1)", "Tab", show=False),
        Binding("right", "tab(1)", "Tab", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.tab: Tab = "overview"
        self._one: Listed | None = None
        self._run: Run | None = None
        self._detail: Detail | None = None
        self._marked: Sequence[tuple[Listed, str]] = ()
        self._paper: float | None = None

    def compose(self) -> ComposeResult:
        with Horizontal(id="tabs"):
            for tab in TABS:
                yield TabLabel(tab)
        yield Numbers(id="numbers")
        yield TextView(id="detail-scroll")

    def on_mount(self) -> None:
        self._show_tab()

    def show(
        self,
        one: Listed | None,
        run: Run | None,
        detail: Detail | None,
        marked: Sequence[tuple[Listed, str]] = (),
        paper: float | None = None,
    ) -> None:
        """Show a run, `run` with all its epochs if they are known; `marked` are those overlaid, with colours."""
        other = (one and one.name) != (self._one and self._one.name)
        self._one, self._run, self._marked, self._paper = one, run, marked, paper
        self._detail = detail if one is not None and detail is not None and detail.name == one.name else None
        if other:  # setting a title draws the whole panel, whatever it is
            self.border_title = escape(printable_line(one.name)) if one is not None else ""
        self._refresh_text()
        if other:
            self._go_to_start()

    def choose(self, tab: Tab) -> None:
        """Show one of the tabs."""
        self.tab = tab
        self._show_tab()
        self._refresh_text()
        self._go_to_start()

    def action_tab(self, by: int) -> None:
        """Show the next tab."""
        self.choose(TABS[(TABS.index(self.tab) + by) % len(TABS)])

    @on(TabLabel.Chosen)
    def _chosen(self, event: TabLabel.Chosen) -> None:
        event.stop()
        self.choose(event.tab)

    def on_resize(self) -> None:
        self._refresh_text()

    def _show_tab(self) -> None:
        for tab in TABS:
            self.query_one(f"#tab-{tab}").set_class(tab == self.tab, "-active")

    def _refresh_text(self) -> None:
        self.query_one(Numbers).display = self._show_numbers() and self.tab == "overview"
        view = self.query_one(TextView)
        at_end = view.at_end
        view.show(self._text(self.content_size.width - 2))  # beside the scrollbar
        if at_end and self.tab == "log":
            view.scroll_end(animate=False)

    def _go_to_start(self) -> None:
        """Show the beginning of the text, or the end of a log."""
        view = self.query_one(TextView)
        if self.tab == "log":
            view.scroll_end(animate=False)
        else:
            view.scroll_home(animate=False)

    def _text(self, width: int) -> Content:
        one, run = self._one, self._run
        if one is None or run is None:
            return Content("")
        if self.tab == "settings":
            return facts.settings(run, self._detail, self._marked, width)
        if self.tab == "log":
            log = self._detail.log if self._detail else ()
            return Content("\n".join(log)) if log else Content.styled("The trainer has written nothing.", "$quiet")
        state, rest = facts.state(one, width), facts.overview(one, run, self._detail, width, self._paper)
        return Content("\n").join([state, rest])

    def _show_numbers(self) -> bool:
        run = self._run
        if run is None or run.state.last is None:
            return False
        last, best = headline_accuracy(run.state.last), headline_accuracy(run.state.best)
        name = words.attack_name(run)
        at = f"best @ {run.state.best.epoch}" if run.state.best else "best"
        when = "now" if run.status == "running" else "last"
        gap = "" if last is None or best is None else f"{round(100 * (best - last), 1) + 0.0:.1f}"
        self.query_one(Numbers).show((_percent(best), at), (_percent(last), f"{name} {when}"), (gap, "best − last"))
        return True


def _percent(value: float | None) -> str:
    """Return an accuracy in three digits, for which there is room."""
    return words.percent(value, 1 if value is None or value < 0.9995 else 0)
