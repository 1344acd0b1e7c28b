"""What stands around a chart and over it: the frame with title, legend and values, and the cursor. Pure functions."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import product

from domcli.charts import Chart, Picture, Span, Style, legend
from domcli.charts.picture import printable, shortened
from domcli.dashboard.reading import Note

Row = tuple[Span, ...]
BLANKS = " ▓▒░▚╱╳·"
"""Characters over which the cursor's line is drawn: nothing, and the shadings of a stack."""
LINE = Style("cursor", cursor=True)


def with_cursor(picture: Picture, x: float, text: str) -> list[Row]:
    """Return the picture's rows with the column of `x` highlighted and `text` below it, in place of other labels."""
    plot, column = picture.plot, picture.plot.column_of(x)
    if column is None:
        return list(picture.rows)
    inside = range(plot.top, plot.top + plot.rows)
    rows = [_lit(row, column) if y in inside else row for y, row in enumerate(picture.rows)]
    if len(rows) > inside.stop:
        start = max(0, min(column - (len(text) - 1) // 2, picture.width - len(text)))
        rows[-1] = _labelled(rows[-1], start, text)
    return rows


def _lit(row: Row, column: int) -> Row:
    """Return a row with one cell highlighted; the cursor's line runs through it if it is blank."""
    end = 0
    for number, (text, style) in enumerate(row):
        start, end = end, end + len(text)
        if column < end:
            at = column - start
            lit = Span("│", LINE) if text[at] in BLANKS else Span(text[at], _under_cursor(style))
            if "▁" <= text[at] <= "█":  # a part of a stack: a block leaves nothing of the background to be seen
                lower = text[at] > "▄" or style.back is None
                lit = Span("│", Style("cursor", back=style.colour if lower else style.back))
            parts = (Span(text[:at], style), lit, Span(text[at + 1 :], style))
            return (*row[:number], *(part for part in parts if part.text), *row[number + 1 :])
    return row


@lru_cache(256)
def _under_cursor(style: Style) -> Style:
    return replace(style, cursor=True)


def _labelled(row: Row, start: int, text: str) -> Row:
    """Return a row of labels with one more; those that would touch it are left out."""
    before, _, after = _split(row, start, start + len(text))
    left = "".join(span.text for span in before)
    right = "".join(span.text for span in after)
    left = f"{left[: left.rfind(' ') + 1]:{len(left)}}"
    gap = right.find(" ")
    right = f"{right[gap:] if gap >= 0 else '':>{len(right)}}"
    axis, label = Style("axis"), Span(text, Style("cursor", bold=True))
    return tuple(span for span in (Span(left, axis), label, Span(right, axis)) if span.text)


def _split(row: Row, start: int, end: int) -> tuple[Row, Row, Row]:
    """Return what is left of a range of columns, in it, and right of it."""
    parts: tuple[list[Span], list[Span], list[Span]] = ([], [], [])
    at = 0
    for span in row:
        length = len(span.text)
        for part, low, high in zip(parts, (0, start, end), (start, end, at + length), strict=True):
            text = span.text[max(0, low - at) : max(0, high - at)]
            if text:
                part.append(Span(text, span.style))
        at += length
    return tuple(parts[0]), tuple(parts[1]), tuple(parts[2])


def changed_columns(old: Row, new: Row, width: int) -> tuple[int, int]:
    """Return from where to where two different rows of this width differ, in whole spans."""
    start = 0
    for one, other in zip(old, new, strict=False):
        if one != other:
            break
        start += len(one.text)
    end = width
    for one, other in zip(reversed(old), reversed(new), strict=False):
        if one != other or end - len(one.text) < start:
            break
        end -= len(one.text)
    return start, max(end, start + 1)


def upper_edge(chart: Chart, width: int, edge: Style, with_legend: bool) -> Row:
    """Return the upper edge: title, as much of the legend as fits, and to the right what the y axis measures."""
    title = Span(shortened(printable(chart.title), max(0, width - 4)), Style("title", bold=True))
    room = width - 5 - len(title.text)
    named = trimmed(legend(chart, room - 2)) if with_legend and room > 12 else ()
    used = sum(len(span.text) for span in named)
    unit = f" {chart.y.label} " if chart.y.label and used + len(chart.y.label) + 8 <= room else ""
    middle = (Span("  ", edge), *named) if named else ()
    line = "─" * (room - used - (2 if named else 0) - len(unit))
    return (Span("╭ ", edge), title, *middle, Span(f" {line}", edge), Span(unit, Style("text")), Span("─╮", edge))


def trimmed(row: Row) -> Row:
    """Return the row without the blanks at its end."""
    text = "".join(span.text for span in row).rstrip()
    kept, length = [], 0
    for span in row:
        if length < len(text):
            kept.append(Span(span.text[: len(text) - length], span.style))
        length += len(span.text)
    return tuple(kept)


def lower_edge(notes: tuple[Note, ...], width: int, edge: Style) -> Row:
    """Return the lower edge with as many values of each run in it as fit, named if there is room, or with none."""
    named = tuple(note.named() for note in notes)
    most_of_all = max((len(note.texts) for note in notes), default=0)
    for most, shown in product(range(most_of_all, 0, -1), (named, notes)):
        texts = ["  ".join(note.texts[:most]) for note in shown]
        used = sum(map(len, texts)) + 3 * (len(texts) - 1)
        if used <= width - 6:
            gaps = ["   "] * (len(texts) - 1) + [""]
            spans = (
                Span(printable(text + gap), Style(note.colour))
                for note, text, gap in zip(notes, texts, gaps, strict=True)
                if text + gap
            )
            return (Span("╰" + "─" * (width - 5 - used) + " ", edge), *spans, Span(" ─╯", edge))
    return (Span("╰" + "─" * (width - 2) + "╯", edge),)
