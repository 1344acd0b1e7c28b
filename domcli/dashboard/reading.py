"""What the synchronised cursor reads, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from domcli.charts import Axis, Chart, Key, Line, Series, written
from domcli.dashboard.columns import Array, Tables
from domcli.dashboard.curves import AXES, KINDS, Kind, View, curve_name, drawn, pgd_name
from domcli.dashboard.shown import Shown

ORDER = ("natural", "pgd", "one_step", "high_confidence", "transformed", "train_natural_loss")
"""What the status line reads, in this order."""
IMPORTANT = ("pgd", "natural", "high_confidence", "one_step", "transformed", "train_natural_loss")
"""The same by importance."""
NAMES = {"train_natural_loss": "loss", "high_confidence": "high-confidence"}
"""What values are called where no chart stands around them."""


class Note(NamedTuple):
    """What the cursor reads of one line or run in one chart: a few values, the important ones first."""

    colour: Key
    texts: tuple[str, ...]
    names: tuple[str, ...] = ()
    """What each of the values is called, where that is to be told."""
    label: str = ""
    """Whose values they are, where there are those of others."""

    def named(self) -> Note:
        """Return the note with names and label in its texts."""
        names = self.names or ("",) * len(self.texts)
        texts = [f"{name} {text}".lstrip() for name, text in zip(names, self.texts, strict=True)]
        if self.label and texts:
            texts[0] = f"{self.label} {texts[0]}"
        return Note(self.colour, tuple(texts))


class Entry(NamedTuple):
    """A line of a large legend; `line` is None for a part of a stack."""

    name: str
    text: str
    colour: Key
    line: Line | None


def read(series: Series, x: float | None, axis: Axis) -> str:
    """Return the value of a series at `x` (None: its last one), before it was smoothed; empty if there is none.

    The mean of seeds comes with its standard deviation, unless it was smoothed. The unit is left out.
    """
    values = series.y if series.raw is None else series.raw
    index = _last(values) if x is None else _nearest(series.x, x)
    if index is None or not np.isfinite(values[index]):
        return ""
    text = _plain(axis, float(values[index]))
    spread = np.nan if series.band is None or series.raw is not None else float(series.band[1][index] - values[index])
    return f"{text} ± {_plain(axis, spread)}" if np.isfinite(spread) else text


def _last(values: Array) -> int | None:
    known = np.flatnonzero(np.isfinite(values))
    return int(known[-1]) if known.size else None


def _nearest(places: Array, x: float) -> int | None:
    """Return the index of the place nearest to `x`, if it is not farther than half of what lies between two places."""
    if not places.size:
        return None
    after = int(np.searchsorted(places, x))
    index = min((one for one in (after - 1, after) if 0 <= one < places.size), key=lambda one: abs(places[one] - x))
    apart = (places[-1] - places[0]) / (places.size - 1) if places.size > 1 else abs(places[0])
    return index if abs(places[index] - x) <= apart / 2 else None


def _plain(axis: Axis, value: float) -> str:
    return written(axis, value).removesuffix(" %")


def notes(chart: Chart, kind: Kind, runs: Sequence[Shown], tables: Tables, view: View) -> tuple[Note, ...]:
    """Return what the cursor reads in a chart, run by run."""
    if view.cursor is None:
        return ()
    if kind.key == "ranges":
        texts = shares(chart, view.cursor)
        return (Note("title", texts, chart.stack.names if chart.stack is not None and texts else ()),)
    found: dict[int, Note] = {}
    lines = drawn(kind, runs, tables, view)
    alone = bool(lines) and lines[0].owner == lines[-1].owner
    named = alone and len(lines) > 1  # of several runs, the first values are whose they are
    for line in lines:
        owner = line.owner
        note = found.get(owner.colour) or (Note("title", ()) if alone else Note(owner.colour, (), label=owner.label))
        text = read(line.series, view.cursor, kind.y)
        names = (*note.names, curve_name(line.curve, pgd_name(owner.runs))) if named else ()
        found[owner.colour] = note._replace(texts=(*note.texts, text), names=names) if text else note
    return tuple(found.values())


def shares(chart: Chart, x: float | None) -> tuple[str, ...]:
    """Return the parts of a stack in percent at `x` (None: the last); empty where nothing is known."""
    stack = chart.stack
    if stack is None or not stack.x.size:
        return ()
    index = stack.x.size - 1 if x is None else _nearest(stack.x, x)
    if index is None or not np.isfinite(stack.shares[index]).all():
        return ()
    return tuple(f"{100 * share:.1f}" for share in stack.shares[index])


def entries(chart: Chart, kind: Kind, runs: Sequence[Shown], tables: Tables, view: View) -> tuple[Entry, ...]:
    """Return a large legend: every line with its value at the cursor, or its last one without a cursor."""
    if kind.key == "ranges" and chart.stack is not None:
        texts = shares(chart, view.cursor) or ("–",) * len(chart.stack.names)
        parts = zip(chart.stack.names, texts, chart.stack.colours, strict=True)
        return tuple(Entry(name, f"{text} %", colour, None) for name, text, colour in parts)
    lines = drawn(kind, runs, tables, view)
    several = len({line.owner for line in lines}) > 1
    curves = len({line.curve for line in lines})
    found = []
    for line in lines:
        name = curve_name(line.curve, pgd_name(line.owner.runs))
        if several:
            name = f"{line.owner.label} · {name}" if curves > 1 else line.owner.label
        text = read(line.series, view.cursor, kind.y) or "–"
        found.append(Entry(name, text, line.owner.colour, line.curve.line))
    return tuple(found)


def place(view: View, runs: Sequence[Shown], tables: Tables) -> str:
    """Return where the cursor is: the epoch or, if the axis shows them, the steps or hours; of one run, both."""
    if view.cursor is None:
        return ""
    if view.axis == "epochs":
        return f"epoch {view.cursor:g}"
    text = written(AXES[view.axis], view.cursor)
    text = f"step {text}" if view.axis == "steps" else f"{text} h"
    if len(runs) != 1:
        return text
    return f"{text} (epoch {tables.of(runs[0].run).moved(view.cursor, view.axis, 'epochs'):.0f})"


def sentence(view: View, runs: Sequence[Shown], tables: Tables, width: int) -> str:
    """Return the values of all runs at the cursor in one line of at most `width` characters.

    What does not fit is left out, the least important first. Empty without a cursor.
    """
    if view.cursor is None or not runs:
        return ""
    where, text = place(view, runs, tables), ""
    values = _values(view, runs, tables)
    known = [field for field in IMPORTANT if any(texts.get(field) for texts in values.values())]
    if not known:
        return f"{where}: nothing measured"
    for most in range(len(known), 0, -1):
        fields = [field for field in ORDER if field in known[:most]]
        names = [_name(field, runs) for field in fields]
        if len(values) == 1:
            (texts,) = values.values()
            text = f"{where}: " + "  ".join(f"{name} {texts[field]}" for name, field in zip(names, fields, strict=True))
        else:
            parts = (f"{label} " + "  ".join(texts.get(field) or "–" for field in fields)
                     for label, texts in values.items())  # fmt: skip
            text = f"{where}, {', '.join(names)}: " + " · ".join(parts)
        if len(text) <= width:
            return text
    return text[: max(0, width - 1)] + "…"


def _values(view: View, runs: Sequence[Shown], tables: Tables) -> dict[str, dict[str, str]]:
    """Return what is read of every run or group, by its label and by field."""
    found: dict[str, dict[str, str]] = {}
    for kind in KINDS:
        if any(curve.field in ORDER for curve in kind.curves):
            for line in drawn(kind, runs, tables, view):
                found.setdefault(line.owner.label, {})[line.curve.field] = read(line.series, view.cursor, kind.y)
    return found


def _name(field: str, runs: Sequence[Shown]) -> str:
    curve = next(curve for kind in KINDS for curve in kind.curves if curve.field == field)
    return NAMES.get(field, curve_name(curve, pgd_name(runs)))
