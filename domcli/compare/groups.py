"""Runs that are repetitions of each other: settings that differ in the seed alone, and what their group is called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from domcli.catalogue import reads_folder
from domcli.catalogue.references import MARK, split
from domcli.compare.attacks import Attack
from domcli.compare.records import METRICS, Flat, Metric, Point, Record, flatten
from domcli.compare.statistics import Summary, summarise
from domcli.naming import RunName, group_name
from domcli.printable import printable_line

SEED = "train.seed"

NEUTRAL = frozenset({"data.root", "checkpoint.every", "memorization.record", "evaluation.train_attack"})
"""Settings that change no result: where the images lie, and what is kept or measured besides.

`data.root` is left out of account only for data sets with a name of their own: for `imagefolder` it says which images
they are. `evaluation.every` is not here: with fewer evaluations `best` is chosen from fewer epochs.
"""

DIGITS = 8
"""Of a SHA-256 that are shown."""
NAMED_SETTINGS = 3
"""So many of the settings that tell groups of one preset apart stand in their names."""


@dataclass(frozen=True)
class LeftOut:
    """A run that does not count, and why."""

    record: Record
    reason: str


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed alone: `records` are those that count, by seed."""

    name: str
    """The stem and what tells it from other groups of that stem."""
    settings: Flat
    records: tuple[Record, ...]
    left_out: tuple[LeftOut, ...] = ()
    stem: str = ""
    """The name its runs were given, or their preset."""

    @property
    def n(self) -> int:
        return len(self.records)

    @property
    def members(self) -> tuple[Record, ...]:
        """All runs of the group, those that do not count too."""
        return (*self.records, *(one.record for one in self.left_out))

    def values(self, metric: Metric, point: Point, error: bool = False) -> dict[int | None, float]:
        """Return a test accuracy in percent by seed (its error with `error`), without runs that have none."""
        found = {record.seed: record.accuracy(metric, point) for record in self.records}
        return {seed: _shown(value, point, error) for seed, value in found.items() if value is not None}

    def summary(self, metric: Metric, point: Point, error: bool = False) -> Summary:
        """Return n, mean and sample standard deviation of `values`; diff is taken in each run, then averaged."""
        return summarise(list(self.values(metric, point, error).values()))

    def of_records(self, value: Callable[[Record], float | None]) -> Summary:
        """Return n, mean and sample standard deviation of anything that runs have, without those that do not."""
        return summarise([found for found in map(value, self.records) if found is not None])

    def measures(self, metric: Metric) -> bool:
        """Say whether any run of the group has this accuracy."""
        return bool(self.values(metric, "best") or self.values(metric, "last"))


def measured(groups: Iterable[Group]) -> list[Metric]:
    """Return the accuracies that any run has: of the epochs, then of attacks afterwards."""
    groups = list(groups)
    of_epochs = [metric for metric in METRICS if any(group.measures(metric) for group in groups)]
    return [*of_epochs, *attacks(groups)]


def attacks(groups: Iterable[Group]) -> dict[Metric, Attack]:
    """Return the attacks of `domcli evaluate` on any run, the weakest first and AutoAttack last."""
    found = {name: attack for group in groups for record in group.records for name, attack in record.attacks.items()}
    return dict(sorted(found.items(), key=lambda item: item[1].order))


def make_groups(records: Iterable[Record]) -> list[Group]:
    """Return the groups in the order of their first runs, named so that every name is there once.

    Of two runs with the same seed that could count, the one that was created later does.
    """
    members: list[list[Record]] = []
    for record in _complete(list(records)):
        fitting = next((group for group in members if identity(group[0].settings) == identity(record.settings)), None)
        if fitting is None:
            members.append([record])
        else:
            fitting.append(record)
    return _named([_group(group) for group in members], members)


def identity(settings: Flat) -> dict[str, Any]:
    """Return the settings that decide the results, without the seed."""
    own_images = reads_folder(settings.get("data.dataset"))
    return {
        key: value
        for key, value in settings.items()
        if key != SEED and (key not in NEUTRAL or (key == "data.root" and own_images))
    }


def shown_value(value: object) -> str:
    """Return the value of a setting for a table; None stands for one that is not set."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and any(MARK in str(one) for one in value):
        return ", ".join(_short_reference(str(one)) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _short_reference(reference: str) -> str:
    """Return the name of an extension with as much of its SHA-256 as tells it from another."""
    path, digest = split(reference)
    return f"{Path(path).name} ({digest[:DIGITS]})"


def differing_keys(all_settings: Sequence[Flat]) -> list[str]:
    """Return the settings in which these are not all the same, in the order of the settings file."""
    keys = dict.fromkeys(key for settings in all_settings for key in settings)
    return [key for key in keys if any(settings.get(key) != all_settings[0].get(key) for settings in all_settings)]


def _complete(records: list[Record]) -> list[Record]:
    """Return the records with the default where one of them, written by another version, lacks a setting."""
    keys = {key for record in records for key in record.settings}
    if all(record.settings.keys() == keys for record in records):
        return records
    from domcli.settings import Settings

    defaults = flatten(Settings().complete())
    return [replace(record, settings={**_only(defaults, keys), **record.settings}) for record in records]


def _only(defaults: Flat, keys: set[str]) -> Flat:
    return {key: value for key, value in defaults.items() if key in keys}


def _group(members: list[Record]) -> Group:
    left_out = [LeftOut(record, record.shortfall) for record in members if record.shortfall is not None]
    counted: dict[int | None, Record] = {}
    for record in sorted((record for record in members if record.shortfall is None), key=_created):
        earlier = counted.get(record.seed)
        if earlier is not None:
            reason = f"has the seed of {record.name}, {record.seed}, which was created later and counts instead"
            left_out.append(LeftOut(earlier, reason))
        counted[record.seed] = record
    by_seed = sorted(counted.values(), key=lambda record: -1 if record.seed is None else record.seed)
    return Group("", identity(members[0].settings), tuple(by_seed), tuple(left_out))


def _created(record: Record) -> tuple[float, str]:
    created = record.environment.get("created")
    return (created if isinstance(created, int | float) else 0.0, record.name)


def _named(groups: list[Group], members: list[list[Record]]) -> list[Group]:
    # What `--quick` shrank is never called what the paper's setting is called.
    called = [group_name([run_name(one) for one in group]) for group in members]
    marks = [
        ["quick"] if all(_is_quick(one) and one.environment.get("preset") in (stem, None) for one in group) else []
        for stem, group in zip(called, members, strict=True)
    ]
    stems = [(stem, *mark) for stem, mark in zip(called, marks, strict=True)]
    for stem in {stem for stem in stems if stems.count(stem) > 1}:
        places = [place for place, other in enumerate(stems) if other == stem]
        for key in differing_keys([groups[place].settings for place in places])[:NAMED_SETTINGS]:
            for place in places:
                marks[place].append(f"{key}={shown_value(groups[place].settings.get(key))}")
    named = zip(stems, marks, strict=True)
    # A name stands in tables, legends and files of every kind.
    names = [printable_line(f"{stem[0]} ({', '.join(mark)})" if mark else stem[0]) for stem, mark in named]
    return [replace(group, name=_unique(names, place), stem=called[place]) for place, group in enumerate(groups)]


def _unique(names: list[str], place: int) -> str:
    number = names[: place + 1].count(names[place])
    return names[place] if number == 1 else f"{names[place]} #{number}"


def run_name(record: Record) -> RunName:
    """Return the name of a run with what tells whether a person chose it."""
    preset = record.environment.get("preset")
    return RunName(record.name, preset if isinstance(preset, str) else None, record.seed, _is_quick(record))


def _is_quick(record: Record) -> bool:
    return record.environment.get("quick") is True


def _shown(accuracy: float, point: Point, error: bool) -> float:
    if not error:
        return accuracy
    return -accuracy if point == "diff" else 100 - accuracy
