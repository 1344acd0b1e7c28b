"""A group beside the numbers that the paper published for its settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Literal, cast

import tomli

from domcli.catalogue import ATTACKS, DATASETS, OPERATIONS, reads_folder
from domcli.compare.groups import NEUTRAL, SEED, Group, shown_value
from domcli.compare.records import Flat, Metric, Point, flatten
from domcli.compare.statistics import Summary, welch

Verdict = Literal["within", "above", "below", "too few seeds", "not the paper's settings"]

OTHER: Verdict = "not the paper's settings"

HALF_A_DIGIT = 0.005
"""What rounding to two decimals may have done to a published mean, in points."""

UNSTATED = "train.precision"
"""The paper does not say in which arithmetic it trained."""

DECISIVE = ("attack.name", "dom.operate", "data.augment")
"""The settings that make a paradigm and a method: the nearest of the paper's settings shares them if one does."""


@dataclass(frozen=True)
class Entry:
    """One row of a table of the paper: where it stands, the settings that give it, and its numbers by point, metric."""

    table: str
    preset: str
    changes: Flat
    expected: Flat
    beyond: str | None
    results: Mapping[tuple[Point, Metric], Summary]
    """Test accuracy in percent, over the paper's seeds."""

    @property
    def title(self) -> str:
        """Return what it reproduces in words: preset, changes, table."""
        names = ("data.dataset", "model.name", "train.schedule")
        changed = "".join(f", {self.changes[name]}" for name in names if name in self.changes)
        return f"{self.preset}{changed} ({self.table})"


@dataclass(frozen=True)
class Row:
    """A mean of a group beside the published one; `gap` is group minus paper, in points.

    There is an interval only where the group has the paper's settings, and seeds enough.
    """

    metric: Metric
    point: Point
    own: Summary
    paper: Summary
    gap: float
    interval: tuple[float, float] | None
    verdict: Verdict


@dataclass(frozen=True)
class Deviation:
    """A setting in which a group is not the paper's."""

    key: str
    own: str
    paper: str


@dataclass(frozen=True)
class Match:
    """The paper's settings that a group reproduces (`deviations` is empty then), or the nearest ones.

    The nearest ones have rows, too, if they share paradigm and method, and images as far as that can be told.
    """

    group: str
    entry: Entry
    deviations: tuple[Deviation, ...]
    rows: tuple[Row, ...] = field(default=())


def against_paper(groups: Sequence[Group], error: bool = False) -> list[Match]:
    """Return every group beside the paper, as accuracy or with `error` as test error."""
    entries = list(load_entries())
    defaults = _defaults()
    return [_match(group, {**defaults, **group.settings}, entries, error) for group in groups]


def load_entries() -> Iterator[Entry]:
    """Yield every row of the paper's result tables, with the settings of its preset and what it changes in them."""
    from domcli import presets

    content = tomli.loads(resources.files(__package__).joinpath("paper.toml").read_text(encoding="utf-8"))
    for table in content["table"]:
        for method, results in table["results"].items():
            preset = f"{table['paradigm']}-{method}"
            changes = {**table.get("changes", {}), **table.get("method_changes", {}).get(method, {})}
            yield Entry(
                table=table["name"],
                preset=preset,
                changes=changes,
                expected={**flatten(presets.resolve(preset).complete()), **changes},
                beyond=table.get("beyond"),
                results=_published(results, content["seeds"], table["measure"] == "error"),
            )


def judge(own: Summary, paper: Summary) -> tuple[tuple[float, float] | None, Verdict]:
    """Return the 95 % interval of own minus published mean, and the verdict.

    The interval is Welch's, from both means and sample standard deviations. `within`: it has 0 in it, once widened by
    the rounding of the published mean. With fewer than two seeds there is no interval: `too few seeds`.
    """
    if own.mean is None or paper.mean is None or own.n < 2:
        return None, "too few seeds"
    difference = welch(own, paper)
    low, high = difference.interval or (difference.value, difference.value)
    if low - HALF_A_DIGIT <= 0 <= high + HALF_A_DIGIT:
        return (low, high), "within"
    return (low, high), "above" if difference.value > 0 else "below"


def _match(group: Group, settings: Flat, entries: Sequence[Entry], error: bool) -> Match:
    def distance(entry: Entry) -> tuple[int, bool, int]:
        keys = _deviating(settings, entry)
        decisive = len([key for key in keys if key in DECISIVE])
        return decisive, not _same_images(group, settings, entry), len(keys) + (entry.beyond is not None)

    nearest = min(entries, key=distance)
    decisive, other_images, _ = distance(nearest)
    deviations = [
        Deviation(key, shown_value(settings.get(key)), shown_value(nearest.expected.get(key)))
        for key in _deviating(settings, nearest)
    ]
    if nearest.beyond is not None:
        deviations.append(Deviation("no setting of domcli", "not done", nearest.beyond))
    rows = () if decisive or other_images else tuple(_rows(group, nearest, error, judged=not deviations))
    return Match(group.name, nearest, tuple(deviations), rows)


def _same_images(group: Group, settings: Flat, entry: Entry) -> bool:
    """Tell whether a group has the images of an entry, or as many in as many classes from an image folder."""
    wanted = entry.expected["data.dataset"]
    if not reads_folder(settings.get("data.dataset")):
        return bool(settings.get("data.dataset") == wanted)
    begun = [record.run.state.started for record in group.records]
    sizes = {one and (one.train_size, one.test_size, one.classes) for one in begun}
    paper = DATASETS.get(wanted)
    # An image folder with as many images of as many classes may be a copy.
    return paper is not None and sizes == {(paper.train, paper.test, paper.classes)}


def _deviating(settings: Flat, entry: Entry) -> list[str]:
    keys = dict.fromkeys((*entry.expected, *settings))
    passed = NEUTRAL | {SEED, UNSTATED} | set(_idle(entry.expected))
    return [key for key in keys if key not in passed and settings.get(key) != entry.expected.get(key)]


def _idle(settings: Flat) -> Iterator[str]:
    """Yield the settings that do nothing beside the others."""
    operation, attack = OPERATIONS[settings["dom.operate"]], ATTACKS[settings["attack.name"]]
    if not operation.acts:
        yield from ("dom.threshold", "dom.rule", "dom.warmup")
    if not operation.augments:
        yield from ("dom.strength", "dom.iterations")
    if attack.perturbs and attack.fixed_steps is not None:
        yield "attack.steps"
    if not attack.perturbs and settings["evaluation.attack"] == "none":
        yield from (f"attack.{key}" for key in ("norm", "epsilon", "alpha", "steps", "restarts"))
        yield from (f"evaluation.{key}" for key in ("alpha", "steps", "restarts"))


def _rows(group: Group, entry: Entry, error: bool, *, judged: bool) -> Iterator[Row]:
    """Yield the means of a group beside those of an entry; unless they are `judged`, their settings are not alike."""
    for metric in dict.fromkeys(metric for _, metric in entry.results):
        for point in ("best", "last"):
            paper = entry.results.get((point, metric))
            own = group.summary(metric, point, error)
            if paper is None or paper.mean is None or own.mean is None:
                continue
            if error:
                paper = Summary(paper.n, 100 - paper.mean, paper.std)
            interval, verdict = judge(own, paper) if judged else (None, OTHER)
            yield Row(metric, point, own, paper, own.mean - cast(float, paper.mean), interval, verdict)


def _published(results: Mapping[str, Any], seeds: int, error: bool) -> dict[tuple[Point, Metric], Summary]:
    return {
        (cast(Point, point), cast(Metric, metric)): Summary(seeds, 100 - mean if error else mean, std)
        for point, metrics in results.items()
        for metric, (mean, std) in metrics.items()
    }


def _defaults() -> dict[str, Any]:
    from domcli.settings import Settings

    return flatten(Settings().complete())
