"""Which runs are marked, in which colours, and what follows for the charts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from domcli.dashboard.model import Listed, Snapshot
from domcli.dashboard.rows import Row
from domcli.dashboard.shown import Shown

MOST_UNMARKED = 8
"""Of the runs under a heading, so many are shown without being marked."""


def toggled(marks: Mapping[str, int], names: Sequence[str]) -> dict[str, int]:
    """Return the marks with these runs marked, or not any more if all of them were; colours are the lowest free."""
    if all(name in marks for name in names):
        return {name: colour for name, colour in marks.items() if name not in names}
    found = dict(marks)
    for name in names:
        if name not in found:
            used = set(found.values())
            found[name] = next(colour for colour in range(len(used) + 1) if colour not in used)
    return found


def chosen(row: Row | None, marks: Mapping[str, int]) -> dict[str, int]:
    """Return the runs that the charts are to show with their colours: those marked, else those of the row."""
    if marks or row is None:
        return dict(marks)
    return {one.name: place for place, one in enumerate(row.runs[:MOST_UNMARKED])}


def targets(row: Row | None, marks: Mapping[str, int], runs: Sequence[Listed]) -> tuple[Listed, ...]:
    """Return the runs that a command is about: those of the row, or all that are marked if the row's are."""
    if row is None:
        return ()
    if marks and all(one.name in marks for one in row.runs):
        return tuple(one for one in runs if one.name in marks)
    return row.runs


def shown(colours: Mapping[str, int], snapshot: Snapshot) -> tuple[Shown, ...]:
    """Return the runs for the charts, those whose epochs are known, in the order in which they were marked."""
    by_name = {one.name: one for one in snapshot.runs}
    names = [name for name in colours if name in snapshot.whole and name in by_name]
    labels = _labels([by_name[name] for name in names])
    standing = _one_of_each_seed([by_name[name] for name in names])
    return tuple(
        Shown(
            run=snapshot.whole[name],
            colour=colours[name],
            label=label,
            group=by_name[name].title,
            seed=by_name[name].seed,
            findings=by_name[name].findings,
            paper=snapshot.papers.get(by_name[name].group),
            repeats=name not in standing,
        )
        for name, label in zip(names, labels, strict=True)
    )


def _labels(runs: Sequence[Listed]) -> list[str]:
    """Return short names, each once: the seeds if that is all they differ in, else title and seed.

    Runs that were given a name are called by it.
    """
    seeds = [one.short for one in runs]
    for labels in (
        seeds if len({one.group for one in runs}) == 1 and len(runs) > 1 else [],
        [short if short == one.name else f"{one.title} {short}" for one, short in zip(runs, seeds, strict=True)],
    ):
        if labels and len(set(labels)) == len(labels):
            return labels
    return [one.name for one in runs]


def _one_of_each_seed(runs: Sequence[Listed]) -> frozenset[str]:
    """Return the names of the runs that stand for their seed in a mean: those that count, else the latest."""
    standing: dict[tuple[str, int | None], Listed] = {}
    for one in sorted(runs, key=lambda one: (one.counts, one.created, one.name)):
        standing[one.group, one.seed] = one
    return frozenset(one.name for one in standing.values())
