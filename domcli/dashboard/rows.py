"""The rows of the list: which runs, in which order, under which headings. Pure: values in, values out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any, Literal, get_args

from domcli.dashboard import words
from domcli.dashboard.model import Listed
from domcli.runstate import headline_accuracy

SortKey = Literal["state", "newest", "run", "progress", "best", "last", "watch"]
SORT_KEYS: tuple[SortKey, ...] = get_args(SortKey)

SEVERITY = {"critical": 0, "warning": 1, "notice": 2}
GROUP = "group "
"""How the key of a heading begins; no name of a run has a blank."""


@dataclass(frozen=True)
class View:
    """How the runs are listed."""

    filter: str = ""
    sort: SortKey = "state"
    reverse: bool = False
    grouped: bool = False
    folded: frozenset[str] = frozenset()
    """Groups whose runs are not listed under their heading."""


@dataclass(frozen=True)
class Row:
    """A run, or the heading of a group with all of its runs; `key` stays the same while the row is there."""

    key: str
    runs: tuple[Listed, ...]
    heading: bool = False
    indented: bool = False
    folded: bool = False


def arrange(runs: Sequence[Listed], view: View) -> list[Row]:
    """Return the rows for these runs (oldest first)."""
    chosen = ordered(
        [one for one in runs if fits(one, view.filter, grouped=view.grouped)] if view.filter.strip() else runs, view
    )
    if not view.grouped:
        return [Row(one.name, (one,)) for one in chosen]
    groups: dict[str, list[Listed]] = {}
    for one in chosen:
        groups.setdefault(one.group, []).append(one)
    rows: list[Row] = []
    for key, members in groups.items():
        folded = key in view.folded
        rows.append(Row(GROUP + key, tuple(members), heading=True, folded=folded))
        if not folded:
            by_seed = sorted(members, key=lambda one: (-1 if one.seed is None else one.seed, one.created))
            rows += [Row(one.name, (one,), indented=True) for one in by_seed]
    return rows


def fits(one: Listed, text: str, *, grouped: bool = False) -> bool:
    """Tell whether a run has every word of the filter in what the list shows of it; `-word`: has not.

    That is its name, preset, state, why it failed, seed, device and badges and, of a `grouped` list, its group.
    """
    seed = "" if one.seed is None else f"seed{one.seed} seed {one.seed} s{one.seed} {one.short}"
    state = f"{one.run.status} {words.cause(one.run)} {one.run.device or ''}"
    content = (
        f"{one.name} {one.run.preset or ''} {one.title if grouped else ''} {state} {seed} {words.badges(one)}".lower()
    )
    for word in text.lower().split():
        if word.startswith("-") and len(word) > 1:
            if word[1:] in content:
                return False
        elif word not in content:
            return False
    return True


def ordered(runs: Sequence[Listed], view: View) -> list[Listed]:
    """Return the runs sorted; those for which the value is not known come last, in either direction."""
    value = VALUES[view.sort]
    keyed = [(value(one), one) for one in reversed(runs)]
    known = sorted((pair for pair in keyed if pair[0] is not None), key=lambda pair: pair[0], reverse=view.reverse)
    return [one for _, one in known] + [one for key, one in keyed if key is None]


def mean_best(runs: Sequence[Listed]) -> float | None:
    """Return the mean of the best accuracies of those runs that have one."""
    found = [best for one in runs if (best := headline_accuracy(one.run.state.best)) is not None]
    return mean(found) if found else None


def mean_last(runs: Sequence[Listed]) -> float | None:
    """Return the mean of the latest accuracies of those runs that have one."""
    found = [last for one in runs if (last := headline_accuracy(one.run.state.last)) is not None]
    return mean(found) if found else None


def natural(text: str) -> list[tuple[int, str]]:
    """Return a key that sorts seed2 before seed10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text)]


def _negative(value: float | None) -> float | None:
    return None if value is None else -value


def _attention(one: Listed) -> int | None:
    return min((SEVERITY[finding.severity] for finding in one.findings), default=None)


VALUES: dict[SortKey, Callable[[Listed], Any]] = {
    "state": lambda one: (words.ATTENTION.index(one.run.status), one.place or 0),
    "newest": lambda one: -one.created,
    "run": lambda one: natural(one.name),
    "progress": lambda one: _negative(one.run.progress),
    "last": lambda one: _negative(headline_accuracy(one.run.state.last)),
    "best": lambda one: _negative(headline_accuracy(one.run.state.best)),
    "watch": _attention,
}
"""What each sort key compares, the smallest first."""
