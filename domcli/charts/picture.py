"""A drawn chart as text: rows of spans, each with one style, of exactly the size asked for."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from domcli.charts.axis import Limits
from domcli.charts.series import Flags, Indices, Key

BLANK = ord(" ")
Codes = NDArray[np.uint32]


@dataclass(frozen=True)
class Style:
    """How a span looks; the caller turns it into the colours of its terminal."""

    colour: Key | None = None
    """Palette index or role; None: the terminal's own. Roles: axis, title, text, mark, target, cursor, empty."""
    faint: bool = False
    bold: bool = False
    cursor: bool = False
    """In the cursor's column; to be highlighted, by a background for example."""
    back: Key | None = None
    """Background, where two parts of a stack share a cell."""


class Span(NamedTuple):
    """Neighbouring cells of one style."""

    text: str
    style: Style


@dataclass(frozen=True)
class Plot:
    """Where in a picture the data are, and what part of them: between the mouse and the values."""

    left: int
    top: int
    columns: int
    rows: int
    x: Limits
    y: Limits
    log_x: bool = False
    log_y: bool = False
    dots: tuple[int, int] = (4, 2)
    """Dots of a cell, down and across: braille, or (1, 1) in ASCII."""

    def column_of(self, x: float) -> int | None:
        """Return the column of the picture in which `x` is drawn, or None outside of the limits."""
        place = place_of(self.x, x, self.log_x)
        dots = self.columns * self.dots[1] - 1
        return None if place is None else self.left + math.floor(place * dots + 0.5) // self.dots[1]

    def row_of(self, y: float) -> int | None:
        """Return the row of the picture in which `y` is drawn, or None outside of the limits."""
        place = place_of(self.y, y, self.log_y)
        dots = self.rows * self.dots[0] - 1
        return None if place is None else self.top + math.floor((1 - place) * dots + 0.5) // self.dots[0]

    def x_at(self, column: int) -> float | None:
        """Return the x in the middle of a column of the picture, or None beside the plot."""
        dot = (column - self.left) * self.dots[1] + (self.dots[1] - 1) / 2
        inside = 0 <= column - self.left < self.columns
        return _between(self.x, dot / max(1, self.columns * self.dots[1] - 1), self.log_x) if inside else None

    def y_at(self, row: int) -> float | None:
        """Return the y in the middle of a row of the picture, or None above and below the plot."""
        dot = (row - self.top) * self.dots[0] + (self.dots[0] - 1) / 2
        inside = 0 <= row - self.top < self.rows
        return _between(self.y, 1 - dot / max(1, self.rows * self.dots[0] - 1), self.log_y) if inside else None


def _between(limits: Limits, place: float, log: bool) -> float:
    low, high = map(math.log10, limits) if log else limits
    value = low + (high - low) * place
    return 10**value if log else value


def place_of(limits: Limits, value: float, log: bool) -> float | None:
    """Return where a value lies between the limits, from 0 to 1, or None outside of them."""
    if not limits[0] <= value <= limits[1]:
        return None
    low, high = map(math.log10, limits) if log else limits
    return ((math.log10(value) if log else value) - low) / (high - low)


@dataclass(frozen=True)
class Picture:
    """A drawn chart: `height` rows, the texts of each together `width` single-width characters."""

    width: int
    height: int
    rows: tuple[tuple[Span, ...], ...]
    plot: Plot

    @property
    def text(self) -> str:
        """The rows as lines, without styles."""
        return "\n".join("".join(span.text for span in row) for row in self.rows)


class Canvas:
    """Cells to draw on: a character and a style each."""

    def __init__(self, width: int, height: int, ascii: bool = False) -> None:
        self.width, self.height, self.ascii = width, height, ascii
        self.codes: Codes = np.full((height, width), BLANK, np.uint32)
        self.styles: Indices = np.zeros((height, width), np.int64)
        self._numbers: dict[Style, int] = {Style(): 0}

    def number(self, style: Style) -> int:
        """Return the number that stands for the style in `styles`."""
        return self._numbers.setdefault(style, len(self._numbers))

    def put(self, row: int, column: int, text: str, style: Style) -> int:
        """Write a text, cut at the edges; return the column after it."""
        text = printable(text, self.ascii)
        end = min(self.width, column + len(text))
        if 0 <= row < self.height and end > max(0, column):
            shown = text[max(0, -column) : end - column]
            self.codes[row, max(0, column) : end] = np.frombuffer(shown.encode("utf-32-le"), "<u4")
            self.styles[row, max(0, column) : end] = self.number(style)
        return column + len(text)

    def paint(self, plot: Plot, codes: Codes, styles: Indices | int, where: Flags) -> None:
        """Set the cells of the plot at which `where` holds; all arrays of the shape (plot.rows, plot.columns)."""
        area = np.s_[plot.top : plot.top + plot.rows, plot.left : plot.left + plot.columns]
        np.copyto(self.codes[area], codes, where=where)
        np.copyto(self.styles[area], styles, where=where)

    def highlight(self, plot: Plot, column: int, line: str, busy: Flags) -> None:
        """Mark a column as the cursor's, with a line in the cells of the plot that are not `busy` (one flag a row)."""
        rows = slice(plot.top, plot.top + plot.rows)
        codes, styles = self.codes[rows, column], self.styles[rows, column]
        styles[~busy] = self.number(Style("cursor"))
        codes[~busy] = ord(line)
        before = styles.copy()
        known = list(self._numbers)
        for number in set(before.tolist()):
            styles[before == number] = self.number(replace(known[number], cursor=True))

    def picture(self, plot: Plot) -> Picture:
        """Return what was drawn. Blank cells take the style before them, which makes fewer spans."""
        codes, styles = self.codes.ravel(), self.styles.ravel()
        plain = np.array([style.back is None and not style.cursor for style in self._numbers])
        solid = (codes != BLANK) | ~plain[styles]
        solid[:: max(1, self.width)] = True
        before = styles[np.maximum.accumulate(np.where(solid, np.arange(codes.size), 0))]
        styles = np.where(solid | ~plain[before], styles, before)
        text = codes.astype("<u4").tobytes().decode("utf-32-le")
        begins = np.ones(codes.size, bool)
        begins[1:] = styles[1:] != styles[:-1]
        begins[:: max(1, self.width)] = True
        starts = np.flatnonzero(begins)
        ends = np.append(starts[1:], codes.size)
        known = list(self._numbers)
        rows: list[list[Span]] = [[] for _ in range(self.height)]
        found = zip(starts.tolist(), ends.tolist(), styles[starts].tolist(), strict=True) if codes.size else ()
        for start, end, number in found:
            rows[start // self.width].append(Span(text[start:end], known[number]))
        return Picture(self.width, self.height, tuple(map(tuple, rows)), plot)


@lru_cache(4096)  # a chart is drawn again and again with the same texts
def printable(text: str, ascii: bool = False) -> str:
    """Return a text of printable characters one cell wide, with `?` for all others (and for non-ASCII ones)."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(character if _one_cell(character) and not (ascii and character > "~") else "?" for character in text)


def _one_cell(character: str) -> bool:
    wide = unicodedata.east_asian_width(character) in "WF"
    joins = unicodedata.category(character) in ("Mn", "Me", "Mc", "Cf") or "\u1160" <= character <= "\u11ff"
    return character.isprintable() and not wide and not joins


def shortened(text: str, width: int, ascii: bool = False) -> str:
    """Return the text cut to a width, with an ellipsis where something is missing."""
    if len(text) <= width:
        return text
    ellipsis = "~" if ascii else "…"
    return text[: max(0, width - 1)] + ellipsis if width > 0 else ""
