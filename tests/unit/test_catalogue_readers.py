"""Every entry of the catalogue, new ones, and names that are not in it, through what shows and times runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from catalogued import FRESH, chosen, known, of
from dashboard_runs import epoch, listed
from samples import progress

from domcli import presets, rundir
from domcli.catalogue import (
    ATTACKS,
    DATASETS,
    OBJECTIVES,
    OPERATIONS,
    SCHEDULES,
    THRESHOLDS,
    Attack,
    Dataset,
    Objective,
    Operation,
    Schedule,
    ThresholdRule,
    reads_folder,
)
from domcli.checks import datasets
from domcli.cli.epochs import EpochTable
from domcli.cli.live import LiveView
from domcli.cli.presets import OTHERS
from domcli.compare import groups, paper
from domcli.compare.records import flatten
from domcli.dashboard import marks
from domcli.dashboard.columns import Tables
from domcli.errors import NoRoomError, ProcessError
from domcli.exchange import figures as drawn
from domcli.launch.estimate import cost_key, image_folder
from domcli.launch.extend import extended
from domcli.launch.prepare import checkpoint_bytes
from domcli.overfitting.finding import FEW_CLASSES, context_of
from domcli.runs import Run
from domcli.settings import Settings
from domcli.sharing.figures import Figures
from domcli.timing.estimate import (
    Measured,
    MeasuredEvaluation,
    MeasuredStep,
    NotMeasured,
    PlainEvaluation,
    against_plain,
    estimate,
    step_key,
)

UNKNOWN = {
    "data": {"dataset": "other-images", "augment": "other"},
    "model": {"name": "other-net"},
    "train": {"schedule": "other-schedule", "objective": "other-loss"},
    "attack": {"name": "other-attack"},
    "dom": {"operate": "other", "rule": "other-rule"},
    "options": {"other-loss-beta": 3.0},
}
"""The settings of a run of somebody's extension."""


@pytest.fixture
def entry(request: pytest.FixtureRequest) -> Iterator[Any]:
    with known(*request.param) as found:
        yield found


@pytest.fixture
def strange(tmp_path: Path) -> Settings:
    """Settings that name nothing that the catalogue has."""
    return presets.from_run(rundir.create(tmp_path, "strange", UNKNOWN, {}))


def record_of(settings: Settings, epochs: int = 200) -> Any:
    """What a figure is drawn from."""
    warmup = settings.dom.warmup * settings.train.span
    return SimpleNamespace(settings=settings, epochs=[epoch(1), epoch(epochs)], warmup=warmup)


def run_of(settings: Settings) -> Run:
    return listed("one", settings=settings.complete()).run


def group_of(settings: Settings, *sizes: int) -> Any:
    begun = SimpleNamespace(train_size=sizes[0], test_size=sizes[1], classes=sizes[2]) if sizes else None
    record = SimpleNamespace(run=SimpleNamespace(state=SimpleNamespace(started=begun)))
    return SimpleNamespace(name="one", settings=flatten(settings.complete()), records=(record,))


def measured_for(settings: Settings) -> Measured:
    measured = Measured()
    before = settings.model_copy(update={"dom": settings.dom.model_copy(update={"operate": "none"})})
    for one in (settings, before):
        measured.add_step(one, MeasuredStep("a case", 0.5))
    measured.add_evaluation(settings, MeasuredEvaluation("a case", 1.0, 10))
    measured.add_plain_step(settings, 2.0)
    measured.plain_evaluation = PlainEvaluation(test=0.1, train=0.1)
    return measured


@of(DATASETS)
def test_the_doctor_looks_at_every_data_set(entry: Dataset, tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    found = {check.name: check for check in datasets.check(tmp_path)}[entry.name]
    assert found.status in ("ok", "warning")
    if entry.downloads:
        assert found.status == "warning"
        assert all(download.name in str(found.remedy) for download in entry.downloads)
        for member in (member for download in entry.downloads for member in download.read):
            (tmp_path / member.path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / member.path).touch()
            with (tmp_path / member.path).open("r+b") as file:
                file.truncate(member.least)
        assert {check.name: check.status for check in datasets.check(tmp_path)}[entry.name] == "ok"
    elif entry.package is not None:
        installed = entry not in FRESH[DATASETS]
        assert (found.status == "ok", entry.package in found.text) == (installed, True)


@of(DATASETS)
def test_a_data_set_is_known_by_its_sizes(entry: Dataset) -> None:
    assert (entry.images is None) == (None in (entry.train, entry.test))
    assert entry.size == (entry.shape[1] if entry.shape else None)
    found, (mean, std) = chosen(entry), (entry.mean or (), entry.std or ())
    assert len(mean) == len(std)
    assert not mean or len(mean) == (entry.shape or (0,))[0]
    assert context_of(found.to_dict()).classes == (entry.classes or FEW_CLASSES)
    assert reads_folder(entry.name) == entry.folder == (image_folder(found.to_dict()) is not None)
    assert checkpoint_bytes(found) > 0
    if entry.images is not None and entry.classes is not None:
        copied = paper.Entry("a table", "a preset", {}, {"data.dataset": entry.name}, None, {})
        own, sizes = chosen(DATASETS["imagefolder"]), (*entry.images, entry.classes)
        assert paper._same_images(group_of(own, *sizes), flatten(own.to_dict()), copied)
        assert not paper._same_images(group_of(own, *sizes[:2], 3), flatten(own.to_dict()), copied)
    roots = [groups.identity(flatten(chosen(entry, f"data.root={root}").to_dict())) for root in ("here", "there")]
    assert (roots[0] == roots[1]) == (not entry.folder)


@of(DATASETS)
def test_what_was_benched_goes_for_images_of_its_shape(entry: Dataset) -> None:
    found = chosen(entry)
    kept = Figures(
        **{"device": "d", "cores": 1, "mps": False, "paradigm": "pgd", "model": "preactresnet18", "width": 64},
        **{"batch_size": 128, "precision": "float32", "domcli": "1", "date": "", "together": ()},
        torch=metadata.version("torch"),
    )
    alike = entry.shape == (3, 32, 32)
    assert kept.are_of(found) == alike == entry.is_benched
    if not alike or entry.images is None:
        with pytest.raises(NotMeasured, match=entry.name):
            estimate(found, measured_for(found))
        return
    told = estimate(found, measured_for(found))
    assert told["steps_per_epoch"] == -(-entry.images[0] // 128)
    assert told["evaluation"] == entry.images[1] / 10
    assert against_plain(found, measured_for(found), told)["plain_epoch"] > 0


@of(ATTACKS)
def test_columns_and_figures_go_by_the_attack(entry: Attack) -> None:
    found = chosen(entry, "evaluation.attack=pgd")
    columns = [column.title for column in EpochTable(found).columns]
    assert (columns.count("acc %"), columns.count("1-step")) == (1 + entry.perturbs, int(entry.one_step))
    assert context_of(found.to_dict()).adversarial == entry.perturbs
    idle = set(paper._idle(flatten(chosen(entry, "evaluation.attack=none").complete())))
    assert ("attack.steps" in idle) == (entry.fixed_steps is not None)
    assert ("attack.epsilon" in idle) == (not entry.perturbs)
    reason = "says nothing of single" if entry.perturbs else "no adversarial loss"
    with pytest.raises(drawn.NotRecordedError, match=reason):
        drawn._overlap(record_of(found), SimpleNamespace(), SimpleNamespace())
    plain = against_plain(found, measured_for(found), estimate(found, measured_for(found)))["plain_epoch"]
    assert (plain is not None) == entry.several_steps
    assert entry.title != OTHERS


@of(ATTACKS)
def test_a_benchmark_takes_its_time_by_the_attack(entry: Attack) -> None:
    from domcli.trainer.bench import cases, floor

    found = chosen(entry, "attack.steps=3")
    assert cases.PAIRS.of(found) == (7 if not entry.perturbs else 5 if entry.one_step else 3)
    assert floor.plain_passes(found) == (4 if not entry.perturbs else 3 * entry.steps(3) + 5)


@of(OPERATIONS)
def test_columns_and_marks_go_by_the_operation(entry: Operation) -> None:
    found = chosen(entry)
    columns = {column.title for column in EpochTable(found).columns}
    assert columns & {"removed", "augmented"} == (
        {"removed"} if entry.weighs else {"augmented"} if entry.acts else set()
    )
    view, seen = SimpleNamespace(_settings=found), msgspec.structs.replace(progress(1, 1), seen=10)
    told = LiveView._patterns(view, seen).plain  # type: ignore[arg-type]
    assert ("removed 0" in told, "augmented 0" in told) == (entry.weighs, entry.augments)
    assert (marks.end_of_warmup(run_of(found)) is None) == (not entry.acts)
    assert any(text.startswith("warm-up ends") for text in drawn._marks(record_of(found)).values()) == entry.acts
    idle = set(paper._idle(flatten(found.complete())))
    assert ("dom.threshold" in idle, "dom.iterations" in idle) == (not entry.acts, not entry.augments)


@of(SCHEDULES)
def test_drops_are_drawn_where_the_schedule_has_them(entry: Schedule, tmp_path: Path) -> None:
    found = chosen(entry, "train.epochs=8", "dom.operate=none")
    drawn_at = drawn._marks(record_of(found, 8))
    assert drawn_at == {8 * share: f"lr / {divisor}" for share, divisor in entry.drops}
    epochs = [msgspec.structs.replace(epoch(t), lr=entry.rate(t, 8, 0.1)) for t in range(1, 9)]
    run, table = listed("one", settings=found.complete(), epochs=tuple(epochs), of=8).run, Tables()
    drops = marks.rate_drops(run, table.of(run))
    assert [drop.epoch for drop in drops] == [8 * share for share, _ in entry.drops]
    directory = rundir.create(tmp_path, "one", found.to_dict(), {})
    begun = replace(run, directory=directory)
    if entry.ends_at_zero:
        with pytest.raises(ProcessError, match=f"its {entry.name} schedule ends"):
            extended(begun, 9)
    else:
        assert extended(begun, 9).train.epochs == 9


@of(OBJECTIVES)
def test_a_run_is_timed_with_its_objective(entry: Objective) -> None:
    usual, found = presets.resolve("pgd-dom-re", ["dom.iterations=1"]), chosen(entry)
    assert (cost_key(found.to_dict()) == cost_key(usual.to_dict())) == (entry.name == "cross-entropy")
    if entry.name != "cross-entropy":
        with pytest.raises(NotMeasured):
            estimate(found, measured_for(usual))


@of(THRESHOLDS)
def test_a_rule_for_the_threshold_costs_nothing_worth_speaking_of(entry: ThresholdRule) -> None:
    usual, found = presets.resolve("pgd-dom-re", ["dom.iterations=1"]), chosen(entry)
    assert cost_key(found.to_dict()) == cost_key(usual.to_dict())
    assert step_key(found) == step_key(usual)


def test_a_run_of_somebodys_extension_is_shown(strange: Settings) -> None:
    columns = {column.title for column in EpochTable(strange).columns}
    assert {"acc %", "acted on"} <= columns
    assert context_of(strange.to_dict()).adversarial
    assert context_of(strange.to_dict()).classes == FEW_CLASSES
    assert marks.end_of_warmup(run_of(strange)) is not None
    assert marks.rate_drops(run_of(strange), Tables().of(run_of(strange))) == []
    assert list(drawn._marks(record_of(strange)).values()) == ["warm-up ends"]
    assert image_folder(strange.to_dict()) is None
    match = paper.against_paper([group_of(strange)])
    assert match[0].rows == ()


def test_preflight_counts_every_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from domcli.launch import prepare

    monkeypatch.setattr(prepare.shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
    for name in DATASETS.names:
        if not DATASETS[name].folder:
            with pytest.raises(NoRoomError):
                prepare.preflight([presets.resolve("pgd-dom-re", [f"data.dataset={name}"])], tmp_path)
