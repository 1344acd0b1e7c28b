"""Runs as a table of lines: laid out by hand, because rich takes more than a second for some hundred rows."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domcli.cli import figures, output
from domcli.cli.summary import progress, queue_place, retry, total_epochs, what_happened
from domcli.printable import printable_line
from domcli.runs import Run
from domcli.runstate import headline_accuracy

if TYPE_CHECKING:
    from rich.text import Text

GAP = "  "
BAR = 8
SHORTEST_NAME = 16
NARROWEST_PROBLEM = 36
"""Columns; where less is left, what happened stands under the run."""
GIVEN_UP = ("accuracy", "device", "last %", "bar", "ETA", "epoch", "best %")
"""Columns that a narrow terminal does without, in this order, once those in which nothing stands are gone."""
RIGHT = {"epoch", "best %", "last %", "ETA"}

SGR = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
STYLES = {
    "finished": "green",
    "running": "cyan",
    "starting": "cyan",
    "stopped": "yellow",
    "failed": "red",
    "lost": "red",
}

Segments = list[tuple[str, str]]
"""A line: pieces of text, each with its style (empty: none)."""


@dataclass(frozen=True)
class Terminal:
    """What a terminal can show."""

    width: int
    unicode: bool = True


@dataclass(frozen=True)
class Row:
    """A run's cells by title, its style, and what happened to it."""

    cells: dict[str, str]
    style: str
    fraction: float | None
    problem: str


def write_runs(runs: Sequence[Run], places: Mapping[str, int] | None = None) -> None:
    """Write the table to stdout: fitted to a terminal, coloured there; else a line for each run that nothing cuts."""
    terminal = None
    if sys.stdout.isatty():
        terminal = Terminal(shutil.get_terminal_size().columns, output.is_unicode(sys.stdout))
    coloured = terminal is not None and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    for line in table_lines(runs, terminal, places):
        output.styled([(text, SGR.get(style, "")) for text, style in line], coloured=coloured)


def as_text(lines: Sequence[Segments]) -> Text:
    """Return lines for rich to show as they are."""
    from rich.text import Text

    text = Text(no_wrap=True, overflow="ignore")
    for number, line in enumerate(lines):
        text.append("\n" if number else "")
        for piece in line:
            text.append(*piece)
    return text


def table_lines(
    runs: Sequence[Run], terminal: Terminal | None, places: Mapping[str, int] | None = None
) -> list[Segments]:
    """Return the header and the lines of the runs, none of which ends in blanks; without a terminal nothing is cut."""
    rows = [_row(run, places) for run in runs]
    titles = list(rows[0].cells) if rows else []
    widths = {title: max(len(title), *(len(row.cells[title]) for row in rows)) for title in titles}
    if terminal is None:
        room = sys.maxsize
    else:
        if any(row.fraction is not None for row in rows) and terminal.unicode:
            widths["bar"] = BAR
        room = _fit(widths, rows, terminal.width)
    beside = room >= min(NARROWEST_PROBLEM, max((len(row.problem) for row in rows), default=0))
    header = _joined({title: title for title in titles}, widths)
    if beside and any(row.problem for row in rows):
        header += GAP + "problem"
    lines: list[Segments] = [[(header.rstrip(), "bold")]]
    for row in rows:
        lines += _row_lines(row, widths, terminal, room if beside else 0)
    return lines


def _row(run: Run, places: Mapping[str, int] | None) -> Row:
    state, place, again = run.state, queue_place(run, places), retry(run)
    status = f"{run.status}{f' {place}' if place else ''}{f' ({again})' if again else ''}"
    cells = {
        "name": printable_line(run.directory.name),
        "state": status,
        "epoch": f"{state.epochs_done}/{total_epochs(run) or '?'}",
        "best %": figures.percent(headline_accuracy(state.best)),
        "last %": figures.percent(headline_accuracy(state.last)),
        "accuracy": _measure(run),
        "device": printable_line(run.device or figures.MISSING),
        "ETA": figures.duration(state.remaining_seconds() if run.status == "running" else None),
    }
    at_work = run.status in ("starting", "running")
    badges = ", ".join(f"{one.badge} in epoch {one.epoch}" for one in run.findings)
    said = "; ".join(part for part in (badges, what_happened(run)) if part)
    problem = printable_line(" ".join(said.split()))
    return Row(cells, STYLES.get(run.status, ""), progress(run) if at_work else None, problem)


def _measure(run: Run) -> str:
    """Return what the accuracies of a run are of, which differs between natural and adversarial training."""
    evaluation = run.settings.get("evaluation")
    if not isinstance(evaluation, dict) or "attack" not in evaluation:
        return figures.MISSING
    return "natural" if evaluation["attack"] == "none" else f"PGD-{evaluation.get('steps', '?')}"


def _fit(widths: dict[str, int], rows: Sequence[Row], width: int) -> int:
    """Give up columns and shorten names until a line fits; return how many columns are left for what happened."""
    empty = [title for title in GIVEN_UP if all(row.cells.get(title) == figures.MISSING for row in rows)]
    for title in (*empty, *GIVEN_UP):
        if _total(widths) > width:
            widths.pop(title, None)
    excess = max(0, _total(widths) - width)
    widths["name"] = max(min(SHORTEST_NAME, widths["name"]), widths["name"] - excess)
    return width - _total(widths) - len(GAP)


def _total(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + len(GAP) * (len(widths) - 1)


def _row_lines(row: Row, widths: Mapping[str, int], terminal: Terminal | None, room: int) -> list[Segments]:
    """Return the line of a run, with what happened beside it, or under it where there is no room."""
    cells = dict(row.cells)
    if terminal is not None:
        cells["name"] = _shortened(cells["name"], widths["name"], "…" if terminal.unicode else "~")
    if row.fraction is not None:
        cells["bar"] = _bar(row.fraction)
    line = _joined(cells, widths)
    end = widths["name"] + len(GAP)
    pieces = [(line[:end], ""), (line[end : end + widths["state"]], row.style), (line[end + widths["state"] :], "")]
    if not row.problem:
        return [_stripped(pieces)]
    if terminal is None:
        return [[*pieces, (GAP + row.problem, "")]]
    if room:
        first, *more = textwrap.wrap(row.problem, room)
        indent = " " * (_total(widths) + len(GAP))
        return [[*pieces, (GAP + first, row.style)], *([(indent + part, row.style)] for part in more)]
    under = textwrap.wrap(row.problem, max(20, terminal.width - 4))
    return [_stripped(pieces), *([("    " + part, row.style)] for part in under)]


def _joined(cells: Mapping[str, str], widths: Mapping[str, int]) -> str:
    """Return the cells side by side, the bar in front of the epochs."""
    titles = [title for title in widths if title != "bar"]
    if "bar" in widths:
        titles.insert(titles.index("epoch") if "epoch" in titles else len(titles), "bar")
    parts = []
    for title in titles:
        cell = cells.get(title, "")
        parts.append(cell.rjust(widths[title]) if title in RIGHT else cell.ljust(widths[title]))
    return GAP.join(parts)


def _stripped(pieces: Segments) -> Segments:
    while pieces and not pieces[-1][0].strip():
        pieces = pieces[:-1]
    return [*pieces[:-1], (pieces[-1][0].rstrip(), pieces[-1][1])]


def _shortened(name: str, width: int, mark: str) -> str:
    """Leave out the middle of a name that is too long: its end tells seeds apart."""
    if len(name) <= width:
        return name
    end = (width - 1) // 2
    return name[: width - 1 - end] + mark + name[-end:]


def _bar(fraction: float) -> str:
    halves = round(fraction * 2 * BAR)
    return ("━" * (halves // 2) + "╸" * (halves % 2)).ljust(BAR, "─")
