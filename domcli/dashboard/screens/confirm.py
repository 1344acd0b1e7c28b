"""Asks before something is done that cannot be undone, or to many runs at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

MOST = 8
"""Runs that are named one by one."""
DANGEROUS = ("stop", "kill", "delete")
"""What is only done if one goes to it: Cancel is chosen at first."""


class Confirm(ModalScreen[bool]):
    """Names the runs and answers True if they are meant."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("n,escape", "answer(False)", "no"),
        Binding("left,right,up,down", "app.focus_next", show=False),
    ]

    def __init__(self, verb: str, names: Sequence[str], what: str = "") -> None:
        super().__init__()
        self._verb, self._names, self._what = verb, names, what

    def compose(self) -> ComposeResult:
        several = len(self._names) > 1
        question = f"{self._verb.capitalize()} {f'these {len(self._names)} runs' if several else 'this run'}?"
        more = len(self._names) - MOST
        lines = [Content(f"  {name}") for name in self._names[:MOST]]
        lines += [Content.styled(f"  and {more} more", "$quiet")] if more > 0 else []
        with Vertical(classes="dialog"):
            yield Static(Content.styled(question, "bold"))
            yield Static(Content("\n").join(lines), classes="names")
            if self._what:
                yield Static(Content.styled(self._what, "$quiet"), classes="what")
            with Horizontal(classes="buttons"):
                yes = Button(f"{self._verb.capitalize()}  y", id="yes", compact=True)
                yes.variant = "error" if self._verb in DANGEROUS else "primary"
                yield yes
                yield Button("Cancel  n", id="no", compact=True)

    def on_mount(self) -> None:
        self.query_one("#no" if self._verb in DANGEROUS else "#yes").focus()

    def action_answer(self, agreed: bool) -> None:
        """Close with the answer."""
        self.dismiss(agreed)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")
