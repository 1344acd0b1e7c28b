"""The comparison of the marked runs: the tables of `domcli compare-runs`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import ScrollableContainer
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Footer, Static

from domcli.errors import DomcliError
from domcli.rundir import RunDirectory

if TYPE_CHECKING:
    from domcli.compare.sheets import Sheet

GAP = "  "
LEAST_WORDS = 18
"""Columns that words in a table have at least."""
LONGEST_LINE = 100
"""Columns of running text, at the most."""


class CompareScreen(Screen[None]):
    """Groups of seeds side by side, what differs, whether it is real, and how it stands to the paper."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "error", "accuracy or error", tooltip="Show test error instead of accuracy"),
        Binding("j", "scroll(1)", show=False),
        Binding("k", "scroll(-1)", show=False),
        Binding("C", "copy", "copy command", tooltip="Copy the command that shows the same in a shell"),
        Binding("escape,q,c", "dismiss", "back"),
    ]

    DEFAULT_CSS = "CompareScreen #compare-scroll { scrollbar-size: 1 1; scrollbar-gutter: stable; }"

    @dataclass
    class Compared(Message):
        """The runs were compared."""

        result: Result

    def __init__(self, runs: Sequence[RunDirectory]) -> None:
        super().__init__()
        self._runs = list(runs)
        self._error = False
        self._result: Result | None = None

    def compose(self) -> ComposeResult:
        yield Static(f" Comparison of {len(self._runs)} runs", id="compare-title")
        with ScrollableContainer(id="compare-scroll"):
            yield Static(Content.styled("Comparing ...", "$quiet"), id="compare-text")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one("#compare-scroll").focus()
        self._compare()

    def action_error(self) -> None:
        """Show test error, or accuracy again."""
        self._error = not self._error
        self._compare()

    def action_scroll(self, by: int) -> None:
        """Scroll by a line."""
        self.query_one("#compare-scroll").scroll_relative(y=by, animate=False)

    def action_copy(self) -> None:
        """Copy the command that shows the same in a shell."""
        import shlex

        paths = [str(run.path) for run in self._runs]
        text = shlex.join(["domcli", "compare-runs", *paths, "--paper", *(["--error"] if self._error else [])])
        self.app.copy_to_clipboard(text)
        self.notify(text, title="Copied", markup=False)

    def on_resize(self) -> None:
        self._show()

    @on(Compared)
    def _compared(self, message: Compared) -> None:
        self._result = message.result
        self._show()

    def _compare(self) -> None:
        error = self._error
        self.run_worker(lambda: self.post_message(self.Compared(compared(self._runs, error))), thread=True)

    def _show(self) -> None:
        if self._result is not None:
            scroll = self.query_one("#compare-scroll")
            width = max(20, scroll.scrollable_content_region.width)
            text = written(self._result, width)
            self.query_one("#compare-text", Static).update(text)
            wide = any(line.cell_length > width for line in text.split("\n"))
            sides = Content.styled("   ← → more columns" if wide else "", "$warning")
            title = Content.assemble(f" Comparison of {len(self._runs)} runs", sides)
            self.query_one("#compare-title", Static).update(title)


@dataclass(frozen=True)
class Result:
    """The tables of a comparison and what is to be said about them, or why there is none."""

    sheets: tuple[Sheet, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""


def compared(runs: Sequence[RunDirectory], error: bool = False) -> Result:
    """Compare runs, by test error or by accuracy."""
    from domcli.compare import compare
    from domcli.compare.sheets import sheets

    try:
        comparison = compare(runs, error=error, paper=True)
    except (DomcliError, OSError) as problem:
        return Result(problem=str(problem))
    return Result(tuple(sheets(comparison)), (*comparison.notes, comparison.origin))


def written(result: Result, width: int) -> Content:
    """Return the tables and notes as text that fits into a width, but for tables that are wider whatever one does."""
    line = min(width, LONGEST_LINE)
    if result.problem:
        return Content.styled("\n".join(textwrap.wrap(result.problem, line)), "$error")
    lines: list[Content] = []
    for sheet in result.sheets:
        lines += [Content.styled(text, "bold $primary") for text in textwrap.wrap(sheet.title, line)]
        lines += [*table(sheet, width), Content("")]
    lines += [Content.styled(text, "$quiet") for note in result.notes for text in textwrap.wrap(note, line)]
    return Content("\n").join(lines)


def table(sheet: Sheet, width: int) -> Iterator[Content]:
    """Yield the lines of a table, words to the left, numbers to the right; long words are wrapped if it is too wide."""
    columns = [[[cell] for cell in cells] for cells in zip(sheet.columns, *sheet.rows, strict=True)]
    widths = [_width(column) for column in columns]
    for place in range(sheet.text):
        excess = sum(widths) + len(GAP) * (len(widths) - 1) - width
        if excess > 0:
            room = max(LEAST_WORDS, widths[place] - excess)
            columns[place] = [textwrap.wrap(text, room) for (text,) in columns[place]]
            widths[place] = _width(columns[place])
    for number, row in enumerate(zip(*columns, strict=True)):
        for parts in zip_longest(*row, fillvalue=""):
            yield Content.styled(_line(parts, widths, sheet.text), "" if number else "$quiet")


def _width(column: Sequence[Sequence[str]]) -> int:
    return max(len(line) for cell in column for line in cell)


def _line(cells: Sequence[str], widths: Sequence[int], words: int) -> str:
    parts = [
        cell.ljust(width) if place < words else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return GAP.join(parts).rstrip()
