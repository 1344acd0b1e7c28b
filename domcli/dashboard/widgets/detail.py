"""The panel about one run: what it does, how well, what the watch says, how it is set, what its trainer wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.markup import escape
from textual.message import Message
from textual.widgets import Digits, Label, Static

from domcli.dashboard import facts, words
from domcli.dashboard.model import Detail, Listed
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


class Number(Vertical):
    """A number that can be read from two metres, with what it is under it."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._shown = ("", "")

    def compose(self) -> ComposeResult:
        yield Digits("")
        yield Label("")

    def show(self, value: str, caption: str) -> None:
        if (value, caption) != self._shown:
            self._shown = (value, caption)
            self.query_one(Digits).update(value)
            self.query_one(Label).update(caption, layout=False)


class Text(Static):
    """Text that is drawn again only when it has changed, and laid out again only when its lines have."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._shown: Content | None = None
        self._lines = -1

    def show(self, text: Content, *, wrapped: bool) -> None:
        """Show a text; `wrapped`: none of its lines is wider than the panel."""
        if self._shown is not None and text == self._shown and text.spans == self._shown.spans:
            return
        # A new layout would draw the whole screen.
        lines = text.plain.count("\n") if wrapped else -1
        self.update(text, layout=lines < 0 or lines != self._lines)
        self._shown, self._lines = text, lines


class DetailPanel(Vertical):
    """Everything about the run under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "tab(-1)", "Tab", show=False),
        Binding("right", "tab(1)", "Tab", show=False),
    ]

    class Scroll(VerticalScroll, can_focus=True):
        """What does not fit is scrolled to."""

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
        with Horizontal(id="numbers"):
            for name in ("now", "best", "gap"):
                yield Number(f"number-{name}")
        with self.Scroll(id="detail-scroll"):
            yield Text(id="detail-state")
            yield Text(id="detail-text")

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
            self.border_title = escape(words.printable(one.name)) if one is not None else ""
        self._refresh_text()
        if other:
            self.query_one("#detail-scroll").scroll_home(animate=False)
            self._end_of_log()

    def choose(self, tab: Tab) -> None:
        """Show one of the tabs."""
        self.tab = tab
        self._show_tab()
        self._refresh_text()
        self.query_one("#detail-scroll").scroll_home(animate=False)
        self._end_of_log()

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
        numbers = self.query_one("#numbers")
        numbers.display = self._show_numbers() and self.tab == "overview"
        state = self.query_one("#detail-state", Text)
        state.display = self.tab == "overview"
        if self._one is not None:
            state.show(facts.state(self._one, self._text_width), wrapped=True)
        scroll = self.query_one("#detail-scroll")
        at_end = scroll.scroll_offset.y >= scroll.max_scroll_y
        self.query_one("#detail-text", Text).show(self._text(), wrapped=self.tab == "overview")
        if at_end:
            self._end_of_log()

    @property
    def _text_width(self) -> int:
        return self.content_size.width - 2  # beside the scrollbar

    def _end_of_log(self) -> None:
        if self.tab == "log":
            self.query_one("#detail-scroll").scroll_end(animate=False)

    def _text(self) -> Content:
        one, run = self._one, self._run
        if one is None or run is None:
            return Content("")
        if self.tab == "settings":
            return facts.settings(run, self._detail, self._marked)
        if self.tab == "log":
            log = self._detail.log if self._detail else ()
            return Content("\n".join(log)) if log else Content.styled("The trainer has written nothing.", "$quiet")
        return facts.overview(one, run, self._detail, self._text_width, self._paper)

    def _show_numbers(self) -> bool:
        run = self._run
        if run is None or run.state.last is None:
            return False
        now, best = headline_accuracy(run.state.last), headline_accuracy(run.state.best)
        name = words.attack_name(run)
        at = f"best @ {run.state.best.epoch}" if run.state.best else "best"
        gap = "" if now is None or best is None else _gap(100 * (now - best))
        self.query_one("#number-now", Number).show(words.percent(now), f"{name} now")
        self.query_one("#number-best", Number).show(words.percent(best), at)
        self.query_one("#number-gap", Number).show(gap, "last − best")
        return True


def _gap(points: float) -> str:
    """Return a difference with at most two digits and a sign: more would not fit."""
    return f"{points:.1f}" if abs(points) < 9.95 else f"{points:.0f}"
