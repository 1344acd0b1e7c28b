"""The rich console of the command line: what it lays out is made printable first, its own styling is left alone."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Span, Text

from domcli.printable import printable

PLAIN_WIDTH = 1000
"""Columns of what does not go to a terminal: wide enough that nothing of it is cut."""


class PrintableConsole(Console):
    """Never obeys, and never passes on, controls in a text; never cuts or colours what goes to a file or pipe."""

    def __init__(self, stream: TextIO) -> None:
        width = None if stream.isatty() else PLAIN_WIDTH
        super().__init__(file=stream, highlight=False, markup=False, emoji=False, width=width, soft_wrap=False)

    def render_str(self, text: str, **how: Any) -> Text:
        """Return a text as rich styles it."""
        return super().render_str(printable(text), **how)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of something; those that move the cursor are rich's own."""
        if isinstance(renderable, Text):
            renderable = _printable(renderable)
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)


def _printable(text: Text) -> Text:
    """Return the text with its controls escaped and every style where it was."""
    shown = printable(text.plain)
    if shown == text.plain:
        return text
    ends = [0, *accumulate(len(printable(sign)) for sign in text.plain)]
    last = len(ends) - 1
    copy = text.blank_copy(shown)
    copy.spans = [Span(ends[min(span.start, last)], ends[min(span.end, last)], span.style) for span in text.spans]
    return copy
