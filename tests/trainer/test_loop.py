"""Whole runs of the tiniest kind: what is recorded, kept, and equal when done again."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
import tiny
import torch

from domcli import checkpoints, cores
from domcli.errors import CheckpointError, DataError, NonFiniteLossError
from domcli.events import BusyCores, CheckpointSaved, EpochEnd, Finished, Progress, Started
from domcli.stream import EventReader, EventWriter
from domcli.trainer import checkpoint, report
from domcli.trainer.engine import Engine
from domcli.trainer.evaluate import BATCH, Attacks, Draws, evaluate
from domcli.trainer.seeding import Purpose

ALL_CONFIDENT = "dom.threshold=50"
KINDS = [
    ("natural-dom-re", "removed"),
    ("natural-dom-augmix", "augmented"),
    ("pgd-dom-re", "removed"),
    ("pgd-dom-randaugment", "augmented"),
    ("fgsm-dom-augmix", "augmented"),
    ("fgsm-dom-re", "removed"),
]


@pytest.mark.parametrize(("preset", "count"), KINDS)
def test_each_kind_trains_to_the_end_and_distracts_after_the_warmup_only(
    preset: str, count: str, tmp_path: Path
) -> None:
    run = tiny.make_run(tmp_path, preset, ALL_CONFIDENT, "train.max_lr=0.01")
    events = tiny.train_here(run)
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    assert [event.seq for event in events] == list(range(len(events)))
    epochs = tiny.of_kind(events, EpochEnd)
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3, 4]
    # 70 patterns in batches of 32: the last step of the second epoch, of 6 patterns, ends the warm-up
    assert [getattr(epoch.memorization, count) for epoch in epochs] == [0, 6, 70, 70]
    other = "augmented" if count == "removed" else "removed"
    assert [getattr(epoch.memorization, other) for epoch in epochs] == [0, 0, 0, 0]
    assert [epoch.memorization.original for epoch in epochs] == [None, 70, 70, 70]
    assert all(sum(epoch.memorization.histogram) == 70 for epoch in epochs)


@pytest.mark.parametrize("busy", [None, BusyCores(busy=1.5, cores=2.0)])
def test_the_start_tells_who_else_uses_the_cores(tmp_path: Path, monkeypatch, caplog, busy: BusyCores | None) -> None:
    monkeypatch.setattr(cores, "others", lambda before, after: busy)
    events = tiny.train_here(tiny.make_run(tmp_path, "natural-baseline", "train.epochs=1"))
    assert events[0].busy_cores == busy
    assert ("other programs keep 1.5 of 2 cores busy: training takes longer" in caplog.messages) is (busy is not None)


def test_each_paradigm_measures_its_own_accuracies(tmp_path: Path) -> None:
    measured = {}
    for preset in ("natural-baseline", "pgd-baseline", "fgsm-baseline"):
        run = tiny.make_run(tmp_path, preset, "train.epochs=1", name=preset)
        epoch = tiny.of_kind(tiny.train_here(run), EpochEnd)[0]
        present = {key for key, value in msgspec.to_builtins(epoch.test).items() if value is not None}
        measured[preset] = {key.removesuffix("_accuracy") for key in present if key.endswith("_accuracy")}
        assert (epoch.train.robust_accuracy is not None) == (preset != "natural-baseline")
        assert (epoch.memorization.overlap is not None) == (preset != "natural-baseline")
        assert epoch.train_attack is None
    assert measured == {
        "natural-baseline": {"natural"},
        "pgd-baseline": {"natural", "pgd"},
        "fgsm-baseline": {"natural", "pgd", "one_step"},
    }


def test_the_same_settings_give_the_same_events_and_another_seed_others(tmp_path: Path) -> None:
    runs = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        run = tiny.make_run(tmp_path, "pgd-dom-augmix", ALL_CONFIDENT, f"train.seed={seed}", name=name)
        tiny.train_here(run)
        runs.append(tiny.lasting(run))
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_evaluation_is_done_when_asked_for_and_after_the_last_epoch(tmp_path: Path) -> None:
    run = tiny.make_run(tmp_path, "pgd-baseline", "evaluation.every=3", "evaluation.train_attack=true")
    epochs = tiny.of_kind(tiny.train_here(run), EpochEnd)
    assert [epoch.test is not None for epoch in epochs] == [False, False, True, True]
    assert [epoch.train_attack is not None for epoch in epochs] == [False, False, True, True]
    assert epochs[2].train_attack.pgd_accuracy is not None


def test_best_is_the_first_of_the_highest_and_its_weights_give_its_accuracy(tmp_path: Path) -> None:
    run = tiny.make_run(tmp_path, "pgd-dom-re", "train.epochs=6")
    events = tiny.train_here(run)
    epochs = tiny.of_kind(events, EpochEnd)
    highest = max(epoch.test.pgd_accuracy for epoch in epochs)
    best = next(epoch for epoch in epochs if epoch.test.pgd_accuracy == highest)
    assert [epoch.epoch for epoch in epochs if epoch.best][-1] == best.epoch
    saved = [event.epoch for event in tiny.of_kind(events, CheckpointSaved) if event.label == "best"]
    assert saved[-1] == best.epoch
    assert checkpoints.read_about(run.checkpoint("best"))["test"]["pgd_accuracy"] == highest
    training = tiny.training("pgd-dom-re", "train.epochs=6")
    checkpoint.load_weights(run.checkpoint("best"), training.classifier.network)
    draws = Draws(0, Purpose.TEST, best.epoch - 1)
    attacks = Attacks.on_test_set(training.settings)
    measure = Engine(training).measure
    again = evaluate(training.classifier, training.dataset.test, attacks, measure, draws, lambda done, batches: None)
    assert again == best.test


def test_an_evaluation_for_which_memory_does_not_suffice_changes_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ("train.epochs=2", "evaluation.train_attack=true")
    whole = tiny.make_run(tmp_path, "pgd-dom-re", *overrides, name="whole")
    tiny.train_here(whole)
    tried: list[int] = []
    measure = Engine.measure

    def within_limits(engine: Engine, pixels: torch.Tensor, labels: torch.Tensor, attacks: Attacks) -> torch.Tensor:
        tried.append(len(labels))
        if len(labels) > 30:
            raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")
        return measure(engine, pixels, labels, attacks)

    monkeypatch.setattr(Engine, "measure", within_limits)
    monkeypatch.setattr(report, "INTERVAL", 0.0)
    limited = tiny.make_run(tmp_path, "pgd-dom-re", *overrides, name="limited")
    events = tiny.train_here(limited)
    # 20 test images, 70 of the training set: it is found once that these do not fit
    assert tried == [20, 70, 35, 18, 18, 18, 16, 18, 2, 18, 18, 18, 16]
    for one, other in zip(tiny.lasting(limited), tiny.lasting(whole), strict=True):
        for part in ("test", "train_attack"):
            found, expected = one.pop(part), other.pop(part)
            assert found.keys() == expected.keys()
            for key, value in expected.items():
                assert found[key] == (None if value is None else pytest.approx(value, rel=1e-6))
        assert one == other
    assert whole.read_environment()["evaluation_batch"] == 128
    assert limited.read_environment()["evaluation_batch"] == 18
    tests = [event for event in tiny.of_kind(events, Progress) if event.phase != "train"]
    assert [(event.phase, event.step, event.steps) for event in tests] == [("test", 1, 1), ("attack-train", 1, 1)] * 2


def test_an_evaluation_counts_the_images_that_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BATCH, "cpu", 50)
    monkeypatch.setattr(report, "INTERVAL", 0.0)
    monkeypatch.setattr(report, "time", SimpleNamespace(monotonic=itertools.count().__next__))
    writer = EventWriter(tmp_path / "events.jsonl")
    reporter = report.ProgressReporter(tiny.training("natural-dom-re"), writer)
    for phase, batches in (("test", 1), ("attack-train", 2)):
        reporter.begin(phase)
        for done in range(1, batches + 1):
            reporter.after_batch(done, batches)
    writer.close()
    found = EventReader(tmp_path / "events.jsonl").read()
    # The clock goes on by a second whenever it is looked at. 20 test images, 70 of the training set.
    assert [event.images_per_second for event in tiny.of_kind(found, Progress)] == [20, 50, 35]


def test_checkpoints_by_epoch_are_kept_as_asked(tmp_path: Path) -> None:
    run = tiny.make_run(tmp_path, "natural-dom-re", "checkpoint.every=2")
    tiny.train_here(run)
    names = {path.name for path in run.checkpoints.iterdir()}
    assert names == {f"{name}.safetensors" for name in ("best", "last", "epoch-0002", "epoch-0004")}
    none = tiny.make_run(tmp_path, "natural-dom-re", "checkpoint.every=0", "train.epochs=1", name="none")
    tiny.train_here(none)
    assert {path.stem for path in none.checkpoints.iterdir()} <= {"best", "last"}


def test_the_losses_of_all_patterns_are_kept_when_asked(tmp_path: Path) -> None:
    run = tiny.make_run(tmp_path, "natural-dom-re", "memorization.record=true")
    epochs = tiny.of_kind(tiny.train_here(run), EpochEnd)
    losses = np.load(run.memorization, allow_pickle=False)
    assert losses.shape == (4, 70)
    under = (losses < epochs[0].memorization.threshold).sum(1)
    assert under.tolist() == [epoch.memorization.high_confidence for epoch in epochs]


def test_the_training_loss_is_the_mean_over_the_epochs_patterns(tmp_path: Path) -> None:
    run = tiny.make_run(tmp_path, "natural-baseline", "memorization.record=true", "train.epochs=1")
    epoch = tiny.of_kind(tiny.train_here(run), EpochEnd)[0]
    losses = np.load(run.memorization).astype(np.float64)
    assert epoch.train.natural_loss == pytest.approx(losses[0].mean(), rel=1e-3)


def test_divergence_is_an_error_with_advice_and_keeps_the_last_good_state(tmp_path: Path) -> None:
    run = tiny.make_run(tmp_path, "natural-baseline", "train.max_lr=1e30")
    with pytest.raises(NonFiniteLossError, match=r"epoch 1.*lower train\.max_lr"):
        tiny.train_here(run)
    assert not run.checkpoint("last").exists()


def test_a_missing_image_folder_is_refused_before_anything_is_recorded(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    run = tiny.make_run(tmp_path, "natural-dom-re", "data.dataset=imagefolder", f"data.root={missing}")
    with pytest.raises(DataError, match="nowhere"):
        tiny.train_here(run)
    assert tiny.events(run) == []


def test_a_checkpoint_of_other_settings_or_a_damaged_one_is_not_resumed(tmp_path: Path) -> None:
    run = tiny.make_run(tmp_path, "natural-dom-re", "train.epochs=1")
    tiny.train_here(run)
    other = tiny.make_run(tmp_path, "natural-dom-re", "train.epochs=1", "train.seed=9", name="other")
    content = run.checkpoint("last").read_bytes()
    other.checkpoint("last").write_bytes(content)
    with pytest.raises(CheckpointError, match="other settings"):
        tiny.train_here(other)
    run.checkpoint("last").write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=r"last\.safetensors"):
        tiny.train_here(run)


def test_environment_names_the_device_and_versions(tmp_path: Path) -> None:
    run = tiny.make_run(tmp_path, "natural-dom-re", "train.epochs=1")
    tiny.train_here(run)
    environment = run.read_environment()
    assert environment["torch"] == torch.__version__
    assert environment["device"] == "cpu"
    assert environment["precision"] == "float32"
