"""The comparison of the marked runs: the tables of `domcli compare-runs`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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

GAP = "   "
NOTE_WIDTH = 100


class CompareScreen(Screen[None]):
    """Groups of seeds side by side, what differs, whether it is real, and how it stands to the paper."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "error", "accuracy or error", tooltip="Show test error instead of accuracy"),
        Binding("j", "scroll(1)", show=False),
        Binding("k", "scroll(-1)", show=False),
        Binding("C", "copy", "copy command", tooltip="Copy the command that shows the same in a shell"),
        Binding("escape,q,c", "dismiss", "back"),
    ]

    @dataclass
    class Compared(Message):
        """The runs were compared."""

        text: Content

    def __init__(self, runs: Sequence[RunDirectory]) -> None:
        super().__init__()
        self._runs = list(runs)
        self._error = False

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

    @on(Compared)
    def _compared(self, message: Compared) -> None:
        self.query_one("#compare-text", Static).update(message.text)

    def _compare(self) -> None:
        error = self._error
        self.run_worker(lambda: self.post_message(self.Compared(compared(self._runs, error))), thread=True)


def compared(runs: Sequence[RunDirectory], error: bool = False) -> Content:
    """Return the tables of a comparison, or why there is none."""
    from domcli.compare import compare
    from domcli.compare.sheets import sheets

    try:
        comparison = compare(runs, error=error, paper=True)
    except (DomcliError, OSError) as problem:
        return Content.styled(str(problem), "$error")
    lines: list[Content] = []
    for sheet in sheets(comparison):
        lines += [Content.styled(sheet.title, "bold $primary"), *table(sheet), Content("")]
    for note in (*comparison.notes, comparison.origin):
        lines += [Content.styled(line, "$quiet") for line in textwrap.wrap(note, NOTE_WIDTH)]
    return Content("\n").join(lines)


def table(sheet: Sheet) -> Iterator[Content]:
    """Yield the lines of a table: words to the left, numbers to the right."""
    widths = [max(map(len, cells)) for cells in zip(sheet.columns, *sheet.rows, strict=True)]
    yield Content.styled(_line(sheet.columns, widths, sheet.text), "$quiet")
    for row in sheet.rows:
        yield Content(_line(row, widths, sheet.text))


def _line(cells: Sequence[str], widths: Sequence[int], words: int) -> str:
    parts = [
        cell.ljust(width) if place < words else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return GAP.join(parts).rstrip()
