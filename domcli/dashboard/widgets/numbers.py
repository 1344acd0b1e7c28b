"""Numbers that can be read from two metres, side by side, each with what it is under it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.renderables.digits import Digits
from textual.strip import Strip
from textual.widget import Widget

Number = tuple[str, str]
"""A number as text, and its caption."""


class Numbers(Widget):
    """Draws numbers in columns of the same width, the first one bold; nothing in it is ever laid out anew."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"numbers--first", "numbers--caption"}

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.numbers: tuple[Number, ...] = ()

    def show(self, *numbers: Number) -> None:
        """Show these numbers."""
        if numbers != self.numbers:
            self.numbers = numbers
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return one of the three lines of digits, or the captions under them."""
        width, plain = self.size.width, self.rich_style
        segments: list[Segment] = []
        starts = column_starts(self.numbers, width)
        for place, (value, caption) in enumerate(self.numbers):
            start, end = starts[place : place + 2]
            style = plain + self._component("caption" if y == 3 else "first" if place == 0 else "")
            text = caption if y == 3 else large(value, style)[y] if y < 3 else ""
            segments += [Segment(text, style), Segment(" " * (end - start - cell_len(text)), plain)]
        return Strip(segments).adjust_cell_length(width, plain)

    def _component(self, name: str) -> Style:
        return self.get_component_rich_style(f"numbers--{name}", partial=True) if name else Style()


def large(text: str, style: Style) -> list[str]:
    """Return the three lines of a number: three cells a digit, but one for a minus, so that it fits a narrow panel."""
    parts = Digits(text.lstrip("-")).render(style)
    rows = "".join(part.text for part in parts if isinstance(part, Segment)).split("\n")[:3]
    minus = "━" if style.bold else "─"
    return [front + row for front, row in zip((" ", minus, " "), rows, strict=True)] if text[:1] == "-" else rows


def column_starts(numbers: Sequence[Number], width: int) -> list[int]:
    """Return where each column starts, and the end: as wide as each other, unless a caption would fill its own."""
    count = len(numbers) or 1  # of none there is nothing to place
    starts = [width * n // count for n in range(count + 1)]
    needed = [max(cell_len(caption), cell_len(large(value, Style())[1])) for value, caption in numbers]
    spare = width - sum(needed)
    if spare < count - 1 or all(b - a > need for a, b, need in zip(starts, starts[1:], needed, strict=False)):
        return starts
    gaps = [spare * n // count for n in range(count + 1)]
    return [sum(needed[:n]) + gaps[n] for n in range(count + 1)]
