"""Comparisons, charts, lists and exports of runs that hold any number at all: damaged, odd, or only very long."""

from __future__ import annotations

import json
import math
import tempfile
import typing
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Any

import msgspec
import pytest
import tomli_w
from damage_dashboard import look
from hypothesis import example, given, settings
from hypothesis import strategies as st
from samples import epoch_end, started, values

from domcli import presets
from domcli.cli import runs_table, show
from domcli.cli.compare_plot import terminal_chart
from domcli.cli.comparison_text import plain
from domcli.compare import FORMATS, compare, export
from domcli.compare.paper import against_paper
from domcli.compare.statistics import paired, summarise, welch
from domcli.dashboard.columns import XAxis
from domcli.dashboard.curves import View
from domcli.events import (
    AnyEvent,
    EpochEnd,
    Finished,
    Progress,
    Started,
    encode,
)
from domcli.exchange.table import csv_text
from domcli.rundir import RunDirectory
from domcli.runs import read_run

NUMBERS = st.sampled_from([0.0, 0.5, 1.0, -1.0, 100.0, 1e20, -1e18, 1e300, -1e300, 1.7e308, -1.7e308, 1e-300, 5e-324])
COUNTS = st.sampled_from([0, 1, 2, 3, -1, 10**6, 2**53 + 1, 2**63 - 1, -(2**63)])
SETTINGS = st.sampled_from(
    [0, -1, 1, 1.5, 1e300, 10**400, -(10**400), math.nan, math.inf, -math.inf, True, "x", [1], {"a": 1}]
)
CHANGES = st.dictionaries(
    st.sampled_from(["train.epochs", "train.seed", "train.max_lr", "dom.warmup", "evaluation.steps", "train", "data"]),
    SETTINGS,
    max_size=2,
)
CREATED = st.sampled_from([0, 1e9, 1e20, -1e18, 1e300, math.nan, math.inf, 10**400, None, "x"])
X_AXES: tuple[XAxis, ...] = ("epochs", "steps", "hours")


def odd(kind: Any) -> st.SearchStrategy[Any]:
    """Values of an event or of the annotation of one of its fields, with numbers as odd as any."""
    arguments = typing.get_args(kind)
    if kind in (int, float):
        return COUNTS if kind is int else NUMBERS
    if typing.get_origin(kind) is typing.Annotated:
        return odd(arguments[0])
    if typing.get_origin(kind) in (typing.Union, UnionType):
        return st.one_of(*map(odd, arguments))
    if typing.get_origin(kind) is tuple:
        few = st.lists(odd(arguments[0]), max_size=6)
        return (few if arguments[-1] is Ellipsis else st.tuples(*map(odd, arguments))).map(tuple)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        fields = {field.name: odd(field.type) for field in msgspec.structs.fields(kind) if field.name != "schema"}
        return st.builds(kind, **fields)
    return values(kind)


def one_odd(epoch: int) -> st.SearchStrategy[EpochEnd]:
    """An epoch that is ordinary but for one field."""
    fields = [field for field in msgspec.structs.fields(EpochEnd) if field.name not in ("schema", "seq", "epoch")]
    changed = st.one_of(*(odd(field.type).map(lambda value, name=field.name: {name: value}) for field in fields))
    return changed.map(lambda change: msgspec.structs.replace(epoch_end(epoch, best=epoch == 1), **change))


def streams() -> st.SearchStrategy[list[AnyEvent]]:
    """Streams of a run that hold anything, or are ordinary but for one field of some epochs."""
    anything = st.tuples(
        st.one_of(st.just(started(epochs=3)), odd(Started)),
        st.lists(odd(EpochEnd), max_size=4),
        st.lists(st.one_of(odd(Progress), odd(Finished)), max_size=1),
    ).map(lambda parts: [parts[0], *parts[1], *parts[2]])
    ordinary = st.tuples(one_odd(1), one_odd(2), one_odd(3)).map(
        lambda ends: [started(epochs=3), *ends, Finished(time=1e20, seconds=1e300)]
    )
    return st.one_of(anything, ordinary)


def write(folder: Path, seed: int, events: Sequence[AnyEvent], changes: dict[str, Any], created: object) -> None:
    """Write a run as its files may be found: with settings that no preset has, too."""
    tables: dict[str, Any] = presets.resolve("pgd-dom-re", ["train.epochs=3", f"train.seed={seed}"]).to_dict()
    for key, value in changes.items():
        section, _, name = key.partition(".")
        if name and isinstance(tables[section], dict):
            tables[section][name] = value
        elif not name:
            tables[section] = value
    run = RunDirectory(folder / f"pgd-dom-re-seed{seed}")
    run.path.mkdir(parents=True)
    run.settings.write_text(tomli_w.dumps(tables))
    run.environment.write_text(json.dumps({"preset": "pgd-dom-re", "created": created, "quick": False}))
    run.events.write_bytes(b"".join(map(encode, events)))


def put_side_by_side(folder: Path, at_epoch: int | None) -> None:
    """Compare the runs of a folder in every form."""
    comparison = compare([RunDirectory(path) for path in sorted(folder.iterdir())], at_epoch=at_epoch)
    assert all(export(comparison, form) for form in FORMATS)
    assert plain(comparison)
    terminal_chart(comparison, 80)
    assert all(against_paper(comparison.groups))


def tell(folder: Path) -> None:
    """Say all that the command line says of the runs of a folder."""
    runs = [read_run(RunDirectory(path)) for path in sorted(folder.iterdir())]
    assert csv_text([(run.directory, run.state) for run in runs])
    for run in runs:
        assert json.dumps(show._json(run))
        assert show._lines(run)
    assert runs_table.table_lines(runs, runs_table.Terminal(100))


VIEWS = st.builds(
    View, axis=st.sampled_from(X_AXES), log=st.booleans(), grouped=st.booleans(), smoothing=st.sampled_from([0.0, 0.6]),
    cursor=st.sampled_from([None, 2.0, 1e300]),
)  # fmt: skip


@given(st.lists(st.tuples(streams(), CHANGES, CREATED), min_size=1, max_size=2), VIEWS, st.sampled_from([None, 2]))
@settings(max_examples=25)
def test_any_number_can_be_read(
    runs: list[tuple[list[AnyEvent], dict[str, Any], object]], view: View, at_epoch: int | None
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "runs"
        for seed, (events, changes, created) in enumerate(runs):
            write(folder, seed, events, changes, created)
        put_side_by_side(folder, at_epoch)
        tell(folder)
        names = sorted(path.name for path in folder.iterdir())
        assert sorted(look(folder, view, names[0])) == names


HUGE = st.sampled_from([0.0, 50.0, 1e160, -1e160, 1e300, 1.7e308, -1.7e308, 1e-300, 5e-324])
SEEDS = st.tuples(HUGE, HUGE, HUGE)


@given(SEEDS, SEEDS)
@example((1.7e308, -1.7e308, 0.0), (50.0, -1e160, 0.0))
def test_statistics_of_any_numbers_end(one: tuple[float, ...], other: tuple[float, ...]) -> None:
    for found in (paired(one, other), welch(summarise(one), summarise(other))):
        assert found.p is None or 0 <= found.p <= 1
    assert summarise((1e200, 3e200)).std == pytest.approx(2**0.5 * 1e200)
