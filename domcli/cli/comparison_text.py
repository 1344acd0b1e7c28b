"""The tables of a comparison as text, and on a terminal with the curves below."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from rich.cells import cell_len

from domcli.cli import output, streams
from domcli.compare.sheets import sheets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import RenderableType

    from domcli.compare import Comparison
    from domcli.compare.sheets import Sheet

GAP = "   "
WIDEST_CHART = 100
LEAST_WORD = 12
"""Columns that a folded word is left at the least."""


def plain(comparison: Comparison, spell: Callable[[str], str] = str) -> str:
    """Return everything as it goes to a file or a pipe, signs as `spell` writes them: no line is broken."""
    parts = ["\n".join([sheet.title, *lines(_spelled(sheet, spell)), ""]) for sheet in sheets(comparison)]
    return "\n".join([*parts, *comparison.notes, comparison.origin]) + "\n"


def show(comparison: Comparison) -> None:
    """Write everything to a terminal, in tables no wider than it, with the curves below."""
    from rich.text import Text

    from domcli.cli.compare_plot import terminal_chart

    width = output.console(sys.stdout).width
    parts: list[RenderableType] = []
    for sheet in (_spelled(sheet, _on_stdout) for sheet in sheets(comparison)):
        parts += [Text(sheet.title, style="bold"), _fitted(sheet, width), Text()]
    parts += [Text(line, style="dim") for line in (*comparison.notes, comparison.origin)]
    chart = terminal_chart(comparison, min(WIDEST_CHART, width))
    for part in (*parts, *([] if chart is None else [chart])):
        output.table(part)


def for_stdout(comparison: Comparison) -> str:
    """Return everything as it goes to stdout where that is no terminal."""
    return plain(comparison, _on_stdout)


def lines(sheet: Sheet) -> list[str]:
    """Return the lines of a table: words to the left, numbers to the right."""
    widths = [max(map(cell_len, cells)) for cells in zip(sheet.columns, *sheet.rows, strict=True)]
    rule = "\u2500" * (sum(widths) + len(GAP) * (len(widths) - 1))
    rows = [GAP.join(_cells(row, widths, sheet.text)).rstrip() for row in (sheet.columns, *sheet.rows)]
    return [rows[0], rule, *rows[1:]]


def _spelled(sheet: Sheet, spell: Callable[[str], str]) -> Sheet:
    rows = tuple(tuple(map(spell, row)) for row in sheet.rows)
    return replace(sheet, columns=tuple(map(spell, sheet.columns)), rows=rows)


def _on_stdout(text: str) -> str:
    return streams.spelled(text, sys.stdout)


def _cells(row: Sequence[str], widths: Sequence[int], words: int) -> Iterator[str]:
    for place, (cell, width) in enumerate(zip(row, widths, strict=True)):
        space = " " * (width - cell_len(cell))
        yield cell + space if place < words else space + cell


def _fitted(sheet: Sheet, width: int) -> RenderableType:
    """Return a table for a terminal: where it is too wide its words are folded, or each cell has its own line."""
    from rich.text import Text

    found = lines(sheet)
    if max(map(cell_len, found)) <= width:
        return Text("\n".join(found))
    widths = [max(map(cell_len, cells)) for cells in zip(sheet.columns, *sheet.rows, strict=True)]
    least = [min(one, LEAST_WORD) if place < sheet.text else one for place, one in enumerate(widths)]
    if sum(least) + len(GAP) * (len(least) - 1) > width:
        return Text("\n".join(_stacked(sheet)))
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for place, column in enumerate(sheet.columns):
        words = place < sheet.text
        justify: Literal["left", "right"] = "left" if words else "right"
        table.add_column(column, justify=justify, no_wrap=not words, overflow="fold", min_width=least[place])
    for row in sheet.rows:
        table.add_row(*map(Text, row))
    return table


def _stacked(sheet: Sheet) -> Iterator[str]:
    """Yield the cells one below the other, under the first of their row."""
    label = max(map(cell_len, sheet.columns[1:]))
    for first, *others in sheet.rows:
        yield first
        yield from (f"  {name:<{label}}  {cell}" for name, cell in zip(sheet.columns[1:], others, strict=True))
