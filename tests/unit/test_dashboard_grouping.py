"""What groups are called, and which runs count in their numbers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from dashboard_runs import epoch, started

from domcli import presets, rundir
from domcli.compare import compare
from domcli.dashboard.details import read_detail
from domcli.dashboard.model import Listed, Wanted
from domcli.dashboard.replay import ReplaySource
from domcli.dashboard.source import DirectorySource
from domcli.events import AnyEvent, Finished, encode
from domcli.process import ProcessIdentity
from domcli.rundir import RunDirectory
from domcli.runs import read_run

NOBODY = ProcessIdentity(pid=2**22 + 1, start_time=1.0, host="another-machine", cwd="/", launched=1.0)


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def make(runs_dir: Path, name: str, *overrides: str, created: float = 1e9, quick: bool = True, done: int = 6,
         preset: str = "fgsm-baseline") -> RunDirectory:  # fmt: skip
    settings = presets.resolve(preset, overrides, quick=quick)
    environment: dict[str, Any] = {"preset": preset, "created": created, "quick": quick}
    run = rundir.create(runs_dir, name, settings.to_dict(), environment)
    epochs = settings.train.epochs
    events: list[AnyEvent] = [started(epochs), *(epoch(number, best=number == 1) for number in range(1, done + 1))]
    events += [Finished(seconds=1.0)] if done == epochs else []
    run.events.write_bytes(b"".join(encode(msgspec.structs.replace(one, time=time.time())) for one in events))
    run.write_process(NOBODY)
    return run


def listed(runs_dir: Path) -> dict[str, Listed]:
    source = DirectorySource(runs_dir)
    source.read(Wanted())  # titles are those of quick runs once there is time to look
    return {one.name: one for one in source.read(Wanted()).runs}


def test_those_runs_count_that_compare_runs_takes(runs_dir: Path) -> None:
    runs = [
        make(runs_dir, "first", created=3e9),  # created later than the other of its seed, although listed before it
        make(runs_dir, "again", created=2e9),
        make(runs_dir, "other", "train.seed=1"),
        make(runs_dir, "at-work", "train.seed=2", done=3),
    ]
    found = listed(runs_dir)
    assert {name for name, one in found.items() if one.counts} == {"first", "other"}
    (group,) = compare(runs).groups
    assert {record.name for record in group.records} == {"first", "other"}
    replayed = ReplaySource(runs_dir, runs[:3], 1e9, clock=iter([0.0, 1e9]).__next__)
    replayed.read(Wanted())
    assert {one.name for one in replayed.read(Wanted()).runs if one.counts} == {"first", "other"}


def test_groups_of_quick_runs_say_so_and_are_told_apart_among_themselves(runs_dir: Path) -> None:
    make(runs_dir, "fgsm-baseline-quick-seed0")
    make(runs_dir, "fgsm-baseline-seed0", quick=False)
    make(runs_dir, "fgsm-baseline-quick-seed0-2", "attack.epsilon=16")
    quick, larger, whole = (one.title for _, one in sorted(listed(runs_dir).items()))
    assert whole == "fgsm-baseline"
    assert quick.startswith("fgsm-baseline (quick)")
    assert larger.startswith("fgsm-baseline (quick)")
    assert quick != larger
    assert "dataset" not in quick + larger


def test_groups_have_the_names_that_were_given_as_in_compare_runs(runs_dir: Path) -> None:
    runs = [
        *(make(runs_dir, f"mine-base-seed{seed}", f"train.seed={seed}", "attack.epsilon=4") for seed in (0, 1)),
        make(runs_dir, "fgsm-baseline-quick-seed0"),
        make(runs_dir, "one", "attack.epsilon=2"),
        make(runs_dir, "two", "attack.epsilon=2", "train.seed=1"),
    ]
    found = listed(runs_dir)
    assert {one.title for one in found.values() if one.name.startswith("mine-base")} == {"mine-base"}
    assert {one.stem for one in found.values()} == {group.stem for group in compare(runs).groups}
    assert [one.short for _, one in sorted(found.items())] == ["s0", "s0", "s1", "one", "two"]


def test_a_quick_run_is_not_as_its_preset_is_written(runs_dir: Path) -> None:
    detail = read_detail(read_run(make(runs_dir, "quick", "train.batch_size=32")), None)
    assert detail.changed is not None
    found = {one.key: (one.values, one.quick) for one in detail.changed}
    assert found["train.epochs"] == (("6", str(presets.resolve("fgsm-baseline").train.epochs)), True)
    assert found["data.dataset"][1]
    assert found["train.batch_size"] == (("32", "128"), False)
