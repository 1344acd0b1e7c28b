"""Entries that are in the catalogue for the time of a test, and some of each kind that nothing knows of."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from domcli import presets
from domcli.catalogue import (
    ATTACKS,
    DATASETS,
    KINDS,
    NETWORKS,
    OBJECTIVES,
    OPERATIONS,
    SCHEDULES,
    THRESHOLDS,
    Attack,
    ByWidth,
    Dataset,
    Download,
    Entry,
    Kind,
    Network,
    Objective,
    Operation,
    Option,
    Passes,
    Schedule,
    ThresholdRule,
)
from domcli.settings import Settings


def _down(t: float, epochs: float, highest: float) -> float:
    return highest * max(0.0, 1.0 - t / epochs)


def _once(t: float, epochs: float, highest: float) -> float:
    return highest if t <= 0.25 * epochs else highest / 4


FRESH: dict[Kind[Any], tuple[Entry, ...]] = {
    DATASETS: (
        Dataset(
            name="fresh-images",
            about="images of a test",
            work="domcli.trainer.datasets.fresh:fresh",
            shape=(3, 32, 32),
            classes=7,
            train=70,
            test=14,
            downloads=(Download("https://example.org/fresh.bin", "0" * 32, 10),),
        ),
        Dataset(name="fresh-noise", about="noise of a test", work="domcli.trainer.datasets.fresh:noise"),
        Dataset(
            name="fresh-package", about="images of a package", work="domcli.nowhere:read", package="no-such-package"
        ),
        Dataset(name="fresh-folder", about="somebody's images", work="domcli.nowhere:read", folder=True),
    ),
    NETWORKS: (
        Network(name="fresh-net", about="a network of a test", work="domcli.nowhere:net", size=ByWidth(1e6, 5e6, 1e5)),
    ),
    OBJECTIVES: (
        Objective(
            name="fresh-loss",
            about="a loss of a test",
            work="domcli.nowhere:loss",
            extra=Passes(1, 0.5, 0),
            options=(Option("beta", 6.0, "Weight of it", least=0.0),),
        ),
    ),
    OPERATIONS: (
        Operation(
            name="fresh-halve",
            about="count half",
            work="domcli.nowhere:halve",
            does="weigh",
            label="DOM_H",
            method="dom-h",
        ),
        Operation(
            name="fresh-blur",
            about="blurred",
            work="domcli.nowhere:blur",
            does="augment",
            everywhere=True,
            label="DOM_B",
            method="dom-b",
        ),
    ),
    ATTACKS: (
        Attack(name="fresh-noise", about="one step of a test", paradigm="noise", fixed_steps=1),
        Attack(name="fresh-long", about="steps of a test", paradigm="long"),
    ),
    SCHEDULES: (
        Schedule(name="fresh-linear", about="down to 0", rate=_down, ends_at_zero=True),
        Schedule(name="fresh-step", about="one drop", rate=_once, drops=((0.25, 4),)),
    ),
    THRESHOLDS: (ThresholdRule(name="fresh-rule", about="a rule of a test", work="domcli.nowhere:rule"),),
}
"""Entries that are new to everything."""

EVERY = [(kind, entry) for kind in KINDS for entry in (*kind, *FRESH[kind])]


def of(*kinds: Kind[Any]) -> Any:
    """Run a test for every entry of these kinds, which its fixture `entry` has in the catalogue."""
    found = [(kind, entry) for kind, entry in EVERY if kind in kinds]
    names = [f"{kind.title}-{entry.name}" for kind, entry in found]
    return pytest.mark.parametrize("entry", found, ids=names, indirect=True)


def chosen(entry: Entry, *more: str, preset: str = "pgd-dom-re") -> Settings:
    """Return settings that name an entry in the first key of its kind."""
    return presets.resolve(preset, [f"{kind_of(entry).keys[0]}={entry.name}", "dom.iterations=1", *more])


def kind_of(entry: Entry) -> Kind[Any]:
    return next(kind for kind in KINDS if kind.get(entry.name) is entry)


@contextlib.contextmanager
def known(kind: Kind[Any], entry: Entry) -> Iterator[Any]:
    """Have an entry in its kind, if it is not there anyway."""
    with contextlib.nullcontext() if kind.get(entry.name) is entry else added(kind, entry):
        yield entry


@contextlib.contextmanager
def added(kind: Kind[Any], *entries: Entry) -> Iterator[None]:
    """Have entries in a kind."""
    for entry in entries:
        kind.add(entry)
    try:
        yield
    finally:
        for entry in entries:
            kind.remove(entry.name)
