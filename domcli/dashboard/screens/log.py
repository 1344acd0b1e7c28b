"""What a trainer wrote, on the whole screen, with search."""

from __future__ import annotations

import threading
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.screen import Screen
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Footer, Input, Static

from domcli.dashboard.details import tail
from domcli.dashboard.replay import ReplaySource
from domcli.rundir import RunDirectory

LINES = 100_000
BYTES = 8 << 20
"""So much of the end of a log is shown."""
SECONDS = 0.5


class LogView(ScrollView, can_focus=True):
    """Lines of text; those in which the searched text is are marked."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"log--found", "log--current"}

    def __init__(self) -> None:
        super().__init__()
        self.lines: tuple[str, ...] = ()
        self.wanted = ""
        self.found: list[int] = []
        self.at = -1

    def show(self, lines: tuple[str, ...]) -> None:
        """Show these lines; at the end, stay at the end."""
        at_end = self.scroll_offset.y >= self.max_scroll_y
        self.lines = lines
        self.virtual_size = Size(max(map(len, lines), default=0), len(lines))
        self.search(self.wanted)
        self.refresh()
        if at_end:
            self.scroll_end(animate=False)

    def search(self, text: str) -> None:
        """Mark the lines with this text, whatever its case."""
        self.wanted = text.lower()
        self.found = [at for at, line in enumerate(self.lines) if self.wanted in line.lower()] if text else []
        if self.at not in self.found:
            self.at = -1
        self.refresh()

    def go(self, by: int) -> None:
        """Scroll to the next line that was found, or the one before."""
        if not self.found:
            return
        top = self.at if self.at >= 0 else self.scroll_offset.y - (by > 0)
        later = [at for at in self.found if at > top] if by > 0 else [at for at in reversed(self.found) if at < top]
        self.at = later[0] if later else self.found[0 if by > 0 else -1]
        self.scroll_to(y=max(0, self.at - self.size.height // 2), animate=False)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return a line of the log."""
        offset, width, style = self.scroll_offset, self.size.width, self.rich_style
        at = y + offset.y
        if at >= len(self.lines):
            return Strip.blank(width, style)
        return Strip(self._segments(at, style)).crop_extend(offset.x, offset.x + width, style)

    def _segments(self, at: int, style: Style) -> list[Segment]:
        line = self.lines[at]
        place = line.lower().find(self.wanted) if self.wanted else -1
        if place < 0:
            return [Segment(line, style)]
        marked = style + self.get_component_rich_style("log--current" if at == self.at else "log--found")
        end = place + len(self.wanted)
        return [Segment(line[:place], style), Segment(line[place:end], marked), Segment(line[end:], style)]


class LogScreen(Screen[None]):
    """The log of one run, followed to its end."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "search", key_display="/"),
        Binding("n", "go(1)", "next"),
        Binding("N", "go(-1)", "before"),
        Binding("j", "scroll(1)", show=False),
        Binding("k", "scroll(-1)", show=False),
        Binding("G", "end", "end"),
        Binding("escape,q", "leave", "back"),
    ]

    def __init__(self, run: RunDirectory) -> None:
        super().__init__()
        self._run = run
        self._over = threading.Event()

    def compose(self) -> ComposeResult:
        yield Static(self._title(), id="log-title", markup=False)
        yield LogView()
        yield Input(placeholder="search", id="log-search", compact=True)
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one("#log-search").display = False
        self.query_one(LogView).focus()
        self.run_worker(self._follow, thread=True)

    def on_unmount(self) -> None:
        self._over.set()

    def action_search(self) -> None:
        """Let the user type what to look for."""
        field = self.query_one("#log-search", Input)
        field.display = True
        field.focus()

    def action_go(self, by: int) -> None:
        """Go to the next line that was found."""
        self.query_one(LogView).go(by)

    def action_scroll(self, by: int) -> None:
        """Scroll by a line."""
        self.query_one(LogView).scroll_relative(y=by, animate=False)

    def action_end(self) -> None:
        """Go to the end and follow it."""
        self.query_one(LogView).scroll_end(animate=False)

    def action_leave(self) -> None:
        """Leave the search, then the screen."""
        field = self.query_one("#log-search", Input)
        if field.display:
            field.value = ""
            field.display = False
            self.query_one(LogView).focus()
        else:
            self.dismiss()

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        view = self.query_one(LogView)
        view.search(event.value)
        self._count()

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.query_one(LogView).focus()
        self.query_one(LogView).go(1)

    def _count(self) -> None:
        view = self.query_one(LogView)
        found = f"   {len(view.found)} lines with {view.wanted!r}" if view.wanted else ""
        self.query_one("#log-title", Static).update(f"{self._title()}{found}")

    def _title(self) -> str:
        """Return which log this is; one that is replayed goes on to the end of its run, past what is played."""
        whole = isinstance(getattr(self.app, "source", None), ReplaySource)
        return f" {self._run.name}   {self._run.log.name}{'   to the end of the run' if whole else ''}"

    def _follow(self) -> None:
        seen: tuple[int, float] | None = None
        while not self._over.is_set():
            try:
                stat = self._run.log.stat()
                now = (stat.st_size, stat.st_mtime)
            except OSError:
                now = (0, 0.0)
            if now != seen:
                seen = now
                lines = tail(self._run.log, LINES, BYTES) or ("The trainer has written nothing.",)
                self.app.call_from_thread(self.query_one(LogView).show, lines)
            self._over.wait(SECONDS)
