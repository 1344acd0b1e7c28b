"""The panel of runs: the list, the filter above it, and what to do when there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from domcli.dashboard.model import Listed
from domcli.dashboard.rows import GROUP, SORT_KEYS, Row, View, arrange
from domcli.dashboard.widgets.run_lines import arrow
from domcli.dashboard.widgets.run_list import RunList

WELCOME = Content.from_markup(
    "[bold]No runs here yet.[/]\n\n"
    "[$quiet]A quick run takes about a minute\nand needs no download. Press[/]\n\n"
    "  [bold $primary]Q[/]  start a quick run\n"
    "  [bold $primary]n[/]  set up a run\n\n"
    "[$quiet]or type in a shell[/]\n\n"
    "  [$primary]domcli run pgd-dom-re --quick[/]\n"
    "  [$primary]domcli presets[/]\n"
    "  [$primary]domcli doctor[/]\n"
)
NOTHING_FITS = Content.from_markup("[$quiet]No run fits the filter.[/]\n\n[bold $primary]esc[/] clears it.")


class RunsPanel(Vertical):
    """The list of runs with its filter."""

    class ViewChanged(Message):
        """The runs are listed in another way.

        The list says so, too (RunList.Moved), but what it says while this panel deals with a message goes no farther.
        """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.view = View()
        self.border_title = "Runs"
        self._titles = ("", "")
        self._runs: Sequence[Listed] = ()
        self._marks: Mapping[str, int] = {}
        self._complete = False

    def compose(self) -> ComposeResult:
        yield Input(placeholder="name, preset, state, seed; -word leaves out", id="filter", compact=True)
        yield RunList(id="run-list")
        yield Static(WELCOME, id="welcome")

    def on_mount(self) -> None:
        self.query_one("#filter").display = False
        self.query_one("#welcome").display = False

    @property
    def row(self) -> Row | None:
        """The row under the cursor."""
        return self.query_one(RunList).row

    def show(self, runs: Sequence[Listed], marks: Mapping[str, int], *, complete: bool) -> None:
        """Show the runs; with `complete`, that there are none is told, too."""
        self._runs, self._marks, self._complete = runs, marks, complete
        rows = arrange(runs, self.view)
        self.query_one(RunList).show(rows, marks, self.view.sort, self.view.reverse, complete=complete)
        welcome = self.query_one("#welcome", Static)
        welcome.display = complete and not rows
        self.query_one(RunList).display = not welcome.display
        if welcome.display:
            welcome.update(NOTHING_FITS if runs else WELCOME)
        self._set_title(sum(len(row.runs) for row in rows if row.heading == self.view.grouped))

    def change(self, **changes: object) -> None:
        """List the runs in another way."""
        self.view = replace(self.view, **changes)  # type: ignore[arg-type]
        self.show(self._runs, self._marks, complete=self._complete)
        self.post_message(self.ViewChanged())

    def start_filter(self) -> None:
        """Let the user type what runs to list."""
        field = self.query_one("#filter", Input)
        field.display = True
        self.screen.set_focus(field)

    def clear_filter(self) -> None:
        """List all runs again."""
        field = self.query_one("#filter", Input)
        field.value = ""
        field.display = False
        self.query_one(RunList).focus()

    def sort_next(self) -> None:
        """Sort by the next key."""
        place = SORT_KEYS.index(self.view.sort)
        self.change(sort=SORT_KEYS[(place + 1) % len(SORT_KEYS)], reverse=False)

    @on(Input.Changed, "#filter")
    def _filter_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.change(filter=event.value)

    @on(Input.Submitted, "#filter")
    def _filter_done(self, event: Input.Submitted) -> None:
        event.stop()
        if not event.value.strip():
            event.input.display = False
        self.query_one(RunList).focus()

    @on(RunList.SortAsked)
    def _sort(self, event: RunList.SortAsked) -> None:
        event.stop()
        again = event.sort == self.view.sort
        self.change(sort=event.sort, reverse=again and not self.view.reverse)

    @on(RunList.Folded)
    def _fold(self, event: RunList.Folded) -> None:
        event.stop()
        key = event.row.key[len(GROUP) :]
        self.change(folded=self.view.folded | {key} if event.folded else self.view.folded - {key})

    def _set_title(self, shown: int) -> None:
        parts = ["Runs"]
        if self.view.filter.strip():
            parts.append(f"{shown} of {len(self._runs)}")
        usual = self.view.sort == "state" and not self.view.reverse
        titles = (" ".join(parts), "" if usual else f"{arrow(self.view.reverse)} by {self.view.sort}")
        if titles != self._titles:  # setting a title draws the whole panel, whatever it is
            self._titles = titles
            self.border_title, self.border_subtitle = titles
