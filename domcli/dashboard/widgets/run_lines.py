"""The lines of the list of runs, laid out by the cells that characters take. Pure: values in, text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.cells import cell_len

from domcli.dashboard import list_columns, words
from domcli.dashboard.list_columns import Column, Piece
from domcli.dashboard.rows import Row, SortKey

FRONT = 4
"""Cells in front of the columns: the colour of a marked run, and the sign of its state."""


def line(row: Row, columns: Sequence[Column], marks: Mapping[str, int]) -> list[Piece]:
    """Return the line of a row; `marks` are the colours of the marked runs by name."""
    found, end = _front(row, marks), FRONT
    position = sum(cell_len(text) for text, _ in found)  # the name of a heading begins earlier
    for column, cell in zip(columns, list_columns.cells(row, columns), strict=True):
        used = sum(cell_len(text) for text, _ in cell)
        before = max(0, end + column.width - used - position) if column.right else 0
        end += column.width + 1
        after = max(0, end - position - before - used)
        found += [(" " * before, ""), *cell, (" " * after, "")]
        position += before + used + after
    return found


def titles(columns: Sequence[Column], sort: SortKey, reverse: bool) -> str:
    """Return the titles, with an arrow in front of the one that the rows are sorted by: it may take the gap there."""
    line = " " * FRONT
    for column in columns:
        title = column.title[: column.width]
        title = title.rjust(column.width) if column.right else title.ljust(column.width)
        if column.sort == sort:
            blank = len(title) - len(title.lstrip())
            title = f"{title[: blank - 1]}{arrow(reverse)}{title.lstrip()}" if blank and column.title else title
            line = line if blank and column.title else f"{line[:-1]}{arrow(reverse)}"
        line += f"{title} "
    return line


def arrow(reverse: bool) -> str:
    """Return the sign of the direction in which rows are sorted."""
    return "▲" if reverse else "▼"


def sort_at(columns: Sequence[Column], x: int) -> SortKey | None:
    """Return what a click on the titles sorts by."""
    end = FRONT
    if x < end:
        return "state"
    for column in columns:
        start, end = end, end + column.width + 1
        if start <= x < end:
            return column.sort
    return None


def _front(row: Row, marks: Mapping[str, int]) -> list[Piece]:
    colours = [marks[one.name] for one in row.runs if one.name in marks]
    if row.heading:
        return [("◉ " if len(colours) == len(row.runs) else "◌ " if colours else "  ", "dim")]
    status = row.runs[0].run.status
    return [("● ", f"colour {colours[0]}") if colours else ("  ", ""), (f"{words.SIGNS[status]} ", status)]
