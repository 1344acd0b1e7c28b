"""The columns of the list: which of them fit, and what stands in them. Text and the names of styles, no colours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from domcli import amounts
from domcli.dashboard import words
from domcli.dashboard.rows import SEVERITY, Row, SortKey, mean_best, mean_last
from domcli.printable import printable_line
from domcli.runs import Run
from domcli.runstate import headline_accuracy

Piece = tuple[str, str]
"""Text and the name of its style: a state, `dim`, `name`, `track`, a severity, or empty."""

BAR = 5
SHORT_TIME = 5
"""Cells of the remaining time."""
SHORTEST_NAME = 13
USUAL_NAME = 18
"""With less room for the name, the best accuracy is left out."""
LONGEST_NAME = 44
NARROW_WATCH, WIDE_WATCH = 3, 10
WIDE = 66
"""From so many cells on, several badges of a run are shown."""


@dataclass(frozen=True)
class Column:
    """A column: `right` for numbers; `sort` is what a click on its title sorts by."""

    name: str
    title: str
    width: int
    sort: SortKey | None = None
    right: bool = False


PROGRESS = Column("progress", "progress", 11, "progress")
EPOCH = Column("epoch", "epoch", 9, "progress", right=True)
LAST = Column("last", "last", 4, "last", right=True)
BEST = Column("best", "best", 4, "best", right=True)
DEVICE = Column("device", "device", 7)
CREATED = Column("created", "created", 16, "newest")
OPTIONAL = (BEST, EPOCH, DEVICE, CREATED)
"""Columns that a wider list has besides, in this order."""


def plan(width: int, rows: Sequence[Row]) -> list[Column]:
    """Return the columns that fit into so many cells; the name takes what is left."""
    longest = min(LONGEST_NAME, max((cell_len(_name(row)) for row in rows), default=SHORTEST_NAME))
    watch = max((len(" ".join(_short_badges(row))) for row in rows), default=0)
    watch = min(watch, WIDE_WATCH if width >= WIDE else NARROW_WATCH)
    fixed = [PROGRESS, LAST]
    room = width - sum(column.width + 1 for column in fixed)
    if watch and room >= SHORTEST_NAME + watch + 1:
        fixed.append(Column("watch", "watch" if watch >= 5 else "", watch, "watch"))
        room -= watch + 1
    for column in OPTIONAL:
        needed = min(longest, USUAL_NAME) if column is BEST else longest
        if room < needed + column.width + 1:
            break
        room -= column.width + 1
        fixed.insert({"best": 1, "epoch": 1}.get(column.name, len(fixed)), column)
    return [Column("run", "run", max(1, room), "run"), *fixed]


def cells(row: Row, columns: Sequence[Column]) -> list[list[Piece]]:
    """Return what stands in each column of a row."""
    return [_heading_cell(row, column) if row.heading else _run_cell(row, column) for column in columns]


def shortened(text: str, width: int) -> str:
    """Leave out the middle of a text of more than `width` cells: its end tells seeds apart."""
    text = printable_line(text)
    if cell_len(text) <= width:
        return text
    text = re.sub(r"-seed(\d+)-(\d+)$", r" s\1 #\2", text)
    text = re.sub(r"-seed(\d+)", r" s\1", text)
    if cell_len(text) <= width:
        return text
    if width <= 1:
        return set_cell_size(text, width)
    end = len(text)
    while end and cell_len(text[end - 1 :]) <= min(6, (width - 1) // 2):
        end -= 1
    start = 0
    while cell_len(text[: start + 1]) < width - cell_len(text[end:]):
        start += 1
    return f"{text[:start]}…{text[end:]}"


def bar(fraction: float, width: int = BAR) -> tuple[str, str]:
    """Return the done and the open part of a progress bar."""
    halves = int(fraction * 2 * width)
    done = "━" * (halves // 2) + "╸" * (halves % 2)
    return done, "─" * (width - len(done))


def short_time(seconds: float | None) -> str:
    """Return a time in SHORT_TIME characters, or hardly more."""
    if seconds is None:
        return ""
    found = amounts.split(seconds)
    if found is None:
        return amounts.UNKNOWN
    if found.days:
        hours = f"{found.days}d{found.hours}h"
        return hours if len(hours) <= SHORT_TIME else f"{found.days}d"
    return f"{found.hours}h{found.minutes:02}" if found.hours else f"{found.minutes}:{found.seconds:02}"


def _name(row: Row) -> str:
    one = row.runs[0]
    if row.heading:
        return f"▾ {one.title} n=9 of 9"
    return _in_group(row) if row.indented else one.name


def _in_group(row: Row) -> str:
    """Return what a run is called under the heading of its group."""
    one = row.runs[0]
    if one.short == one.name:
        seeded = one.seed is None or re.search(rf"-seed{one.seed}(-\d+)?$", one.name)
        return f"  {one.name}" if seeded else f"  {one.name} · s{one.seed}"
    return f"  {one.short.replace('s', 'seed ', 1)}"


def _run_cell(row: Row, column: Column) -> list[Piece]:
    one, run = row.runs[0], row.runs[0].run
    if column.name == "run":
        return [_run_name(row, column.width)]
    if column is PROGRESS:
        return _progress(run, one.place)
    if column is LAST or column is BEST:
        accuracy = headline_accuracy(run.state.last if column is LAST else run.state.best)
        return [_accuracy(accuracy, "" if column is LAST else "dim")]
    if column is EPOCH:
        return [(f"{run.state.epochs_done}/{run.total_epochs or '?'}", "dim")]
    if column is DEVICE:
        return [(run.device or "", "dim")]
    if column is CREATED:
        return [(amounts.date(one.created) if one.created else "", "dim")]
    return _badges(row, column.width)


def _heading_cell(row: Row, column: Column) -> list[Piece]:
    if column.name == "run":
        return _heading(row, column.width, column.width + 1 + PROGRESS.width)
    counted = [one for one in row.runs if one.counts]
    if column is LAST:
        return [_accuracy(mean_last(counted), "name")]
    if column is BEST:
        return [_accuracy(mean_best(counted), "dim")]
    return _badges(row, column.width) if column.name == "watch" and row.folded else []


def _heading(row: Row, name: int, width: int) -> list[Piece]:
    """Return what stands in the columns of the name and the progress: a long title goes on into the second.

    It begins with two cells in front of the first column.
    """
    counts = [(f"{words.SIGNS[state]}{number} ", state) for state, number in words.counts(row.runs)[:4]]
    needed = sum(len(text) for text, _ in counts)
    counted = sum(one.counts for one in row.runs)
    count = f" n={counted}" if counted == len(row.runs) else f" n={counted} of {len(row.runs)}"
    title = shortened(row.runs[0].title, width - needed - len(count) - 1)
    blank = max(1, name + 1 - cell_len(title) - len(count))
    return [("▸ " if row.folded else "▾ ", "dim"), (title, "name"), (count, "dim"), (" " * blank, ""), *counts]


def _run_name(row: Row, width: int) -> Piece:
    one = row.runs[0]
    if not row.indented:
        return shortened(one.name, width), ""
    return shortened(_in_group(row), width), "" if one.counts or one.run.status != "finished" else "dim"


def _progress(run: Run, place: int | None) -> list[Piece]:
    if run.problem is not None:
        return [("damaged", "failed")]
    if run.status == "running":
        done, left = bar(run.progress or 0.0)
        return [(done, "running"), (left, "track"), (f" {short_time(words.remaining(run)):>5}", "")]
    if run.status == "failed" and (cause := words.cause(run)):
        return [(shortened(cause, PROGRESS.width), "failed")]
    if run.status == "queued":
        return [(f"queued {place}" if place else "queued", "queued")]
    if run.status == "stopped":
        return [(f"at {run.state.epochs_done}/{run.total_epochs or '?'}", "stopped")]
    return [(run.status, "dim" if run.status == "finished" else run.status)]


def _accuracy(value: float | None, style: str) -> Piece:
    if value is None:
        return "–", "dim"
    return words.percent(value, 1 if value < 0.9995 else 0), style


def _short_badges(row: Row) -> dict[str, str]:
    """Return badges of three letters at the most with their severity, the worst first."""
    found = [finding for one in row.runs for finding in one.findings]
    worst_first = sorted(found, key=lambda finding: SEVERITY[finding.severity])
    shown: dict[str, str] = {}
    for finding in worst_first:
        shown.setdefault(finding.badge[:3], finding.severity)
    return shown


def _badges(row: Row, width: int) -> list[Piece]:
    pieces: list[Piece] = []
    room = width
    for badge, severity in _short_badges(row).items():
        if len(badge) > room:
            break
        pieces += [(badge, severity), (" ", "")]
        room -= len(badge) + 1
    return pieces[:-1]
