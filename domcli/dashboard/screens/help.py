"""Explains the screen: what is where, what signs and colours mean, which keys there are."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.style import Style
from textual.widgets import Static

from domcli.dashboard import words
from domcli.dashboard.facts import STATE_STYLES

KEYS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Runs",
        (
            ("↑ ↓ j k", "move"),
            ("space", "mark: the charts show the marked runs, each in its colour"),
            ("m", "unmark all"),
            ("/", "filter as you type: pgd running, seed1, -finished; esc clears"),
            ("g", "group by setting; ← → folds and unfolds"),
            ("o", "sort by the next column; a click on a title sorts, too"),
            ("enter", "go to the charts"),
        ),
    ),
    (
        "Steering",
        (
            ("n", "new run: preset, values, seeds, device"),
            ("Q", "quick run, about a minute, no download"),
            ("p", "stop after a checkpoint, or take out of the queue"),
            ("K", "kill"),
            ("r  R", "resume; resume all that failed or were lost"),
            ("D", "delete"),
            ("c", "compare the marked runs"),
            ("C  P", "copy command; copy path"),
        ),
    ),
    (
        "Charts",
        (
            ("x", "epochs, steps or hours"),
            ("w", "smoothing; the raw curve stays, faintly"),
            ("y", "logarithmic y axes"),
            ("b", "seeds of a setting as mean and band"),
            (", .  < >", "cursor by an epoch, by ten; ← → in the charts"),
            ("+ − 0", "closer, farther, everything; mouse wheel and drag, too"),
            ("[ ]", "chart before, next chart"),
            ("f", "chart on the whole screen"),
            ("e  E", "export the chart as SVG; as PNG"),
        ),
    ),
    (
        "Detail",
        (
            ("v  s  l", "overview, settings, log"),
            ("L", "whole log, with search"),
        ),
    ),
    (
        "Everywhere",
        (
            ("tab", "next panel"),
            ("ctrl+p", "everything by name"),
            ("ctrl+t", "dark, light, the terminal's own colours"),
            ("ctrl+z", "suspend"),
            ("q", "leave: the runs go on"),
        ),
    ),
)
BADGES = (
    ("CO", "catastrophic overfitting: PGD accuracy collapses, one-step accuracy does not"),
    ("RO  NO", "robust, natural overfitting: test accuracy falls after the learning rate dropped"),
    ("memorizing", "many transformed patterns became high-confidence suddenly"),
    ("diverged", "the loss is not finite, or nothing is learned any more"),
)
KEY_WIDTH = 18
WIDEST, FRAME = 96, 7
"""Cells of the box, and of what stands around the text in it: edges, space and a scrollbar."""
USUAL_PLACES = ("on the left", "in the middle", "on the right")
PLACES = {
    "-one": ("the list", "the charts: tab", "the detail: tab twice"),
    "-two": ("on the left, above", "on the right", "on the left, below"),
}
"""Where the answers are with less room, by the class of the screen."""
NAMES = {
    "↑": "up", "↓": "down", "←": "left", "→": "right", "esc": "escape", "/": "slash", "+": "plus", "−": "minus",
    ",": "comma", ".": "full_stop", "<": "less_than_sign", ">": "greater_than_sign",
    "[": "left_square_bracket", "]": "right_square_bracket",
}  # fmt: skip
"""What Textual calls keys that are written in another way."""


class Help(ModalScreen[None]):
    """All keys, signs and badges. A click on a key is as good as the key."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter", "dismiss", "close"),
    ]

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog help"):
            yield Static()

    def on_resize(self, event: events.Resize) -> None:
        width = min(WIDEST, event.size.width) - FRAME
        self.query_one(Static).update(Content("\n").join(self._lines(width)))

    def on_click(self, event: events.Click) -> None:
        key = event.style.meta.get("key")
        self.dismiss()
        if key is not None:
            self.app.call_later(self.app.simulate_key, key)

    def _lines(self, width: int) -> list[Content]:
        questions = ("Is everything running?", "Is it learning, and is it memorizing?", "What exactly is this run?")
        main = self.app.screen_stack[0]
        places = next((places for name, places in PLACES.items() if main.has_class(name)), USUAL_PLACES)
        lines = [Content.assemble((q, "bold"), (f" {p}", "$quiet")) for q, p in zip(questions, places, strict=True)]
        lines += [
            Content.styled("Keys can be clicked, too, here and in the last line of the screen.", "$quiet"),
            Content(""),
        ]
        for title, keys in KEYS:
            lines.append(Content.styled(title, "bold $primary"))
            for key, what in keys:
                lines += _explained(Content.assemble(*_clickable(key)), what, width)
            lines.append(Content(""))
        lines.append(Content.styled("Signs", "bold $primary"))
        signs = [(f"  {words.SIGNS[state]} ", STATE_STYLES[state]) for state in words.ATTENTION]
        parts = [part for sign, state in zip(signs, words.ATTENTION, strict=True) for part in (sign, (state, "$quiet"))]
        lines += [Content.assemble(*parts), Content("")]
        lines.append(Content.styled("The overfitting watch", "bold $primary"))
        for key, what in BADGES:
            lines += _explained(Content.styled(f"{key:<{KEY_WIDTH}}", "bold"), what, width)
        return lines


def _explained(key: Content, what: str, width: int) -> Iterator[Content]:
    """Yield the lines that explain a key, all of them beside it."""
    first, *more = textwrap.wrap(what, max(20, width - KEY_WIDTH - 2))
    yield Content.assemble("  ", key, (first, "$quiet"))
    for line in more:
        yield Content.styled(" " * (KEY_WIDTH + 2) + line, "$quiet")


def _clickable(keys: str) -> Iterator[Content | tuple[str, Style]]:
    """Yield keys as they are written, each with the name by which a click finds it."""
    for part in re.split("( +)", keys):
        yield part, Style(bold=True) + (Style() if part.isspace() else Style.from_meta({"key": NAMES.get(part, part)}))
    yield Content(" " * (KEY_WIDTH - len(keys)))
