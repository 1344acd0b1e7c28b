"""Runs that are trained on beyond their end: what comes out is what a run of so many epochs would have given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
import tomli_w
import torch
from safetensors.torch import load_file

from domcli import presets
from domcli.errors import ProcessError, StorageError
from domcli.events import Finished, Started
from domcli.launch.extend import extend, extended
from domcli.rundir import RunDirectory
from domcli.runs import read_run
from domcli.trainer.memorization import LossArchive

RECORDED = ("memorization.record=true", "evaluation.every=3")


def same(one: RunDirectory, other: RunDirectory) -> None:
    """Require two runs to be the same in every number."""
    assert tiny.lasting(one) == tiny.lasting(other)
    weights, others = (load_file(run.checkpoint("last")) for run in (one, other))
    assert weights.keys() == others.keys()
    assert [name for name in weights if not torch.equal(weights[name], others[name])] == []
    np.testing.assert_array_equal(np.load(one.memorization), np.load(other.memorization))
    assert presets.from_run(one) == presets.from_run(other)
    assert one.checkpoint("best").exists() == other.checkpoint("best").exists()


@pytest.mark.parametrize("preset", ["pgd-dom-re", "natural-dom-augmix"])
def test_a_finished_run_goes_on_at_its_last_rate(tmp_path: Path, preset: str) -> None:
    whole = tiny.make_run(tmp_path, preset, *RECORDED, "train.epochs=6", "train.schedule_epochs=4", name="whole")
    tiny.train_here(whole)
    run = tiny.make_run(tmp_path, preset, *RECORDED)
    before = tiny.train_here(run)
    assert isinstance(before[-1], Finished)
    assert len(np.load(run.memorization)) == 4
    extend(run, 6)
    events = tiny.train_here(run)
    assert events[: len(before)] == before
    assert [(one.epoch, one.epochs) for one in tiny.of_kind(events, Started)] == [(0, 4), (4, 6)]
    assert [end["lr"] for end in tiny.lasting(run)] == pytest.approx([0.1, 0.1, 0.01, 0.001, 0.001, 0.001])
    same(run, whole)
    assert read_run(run).status == "finished"


def test_a_run_that_was_to_end_within_its_schedule_goes_on_in_it(tmp_path: Path) -> None:
    whole = tiny.make_run(tmp_path, "fgsm-dom-re", *RECORDED, "train.epochs=5", name="whole")
    tiny.train_here(whole)
    run = tiny.make_run(tmp_path, "fgsm-dom-re", *RECORDED, "train.epochs=3", "train.schedule_epochs=5")
    tiny.train_here(run)
    extend(run, 5)
    tiny.train_here(run)
    same(run, whole)


def test_a_run_can_be_trained_on_several_times_and_across_processes(tmp_path: Path) -> None:
    whole = tiny.make_run(
        tmp_path, "pgd-dom-re", "memorization.record=true", "train.epochs=4", "train.schedule_epochs=2", name="whole"
    )
    tiny.finish(whole)
    run = tiny.make_run(tmp_path, "pgd-dom-re", "memorization.record=true", "train.epochs=2")
    tiny.finish(run)
    for epochs in (3, 4):
        extend(run, epochs)
        tiny.finish(run)
    same(run, whole)


def test_other_settings_are_still_refused(tmp_path: Path) -> None:
    run = tiny.make_run(tmp_path, "pgd-dom-re", "train.epochs=1")
    tiny.train_here(run)
    settings = presets.from_run(run).to_dict()
    settings["train"] |= {"epochs": 2}  # a schedule over two epochs is another one
    run.settings.write_text(tomli_w.dumps(settings))
    tiny.finish(run, expected=2)
    assert "was written with other settings" in run.log.read_text()


def test_an_archive_of_losses_grows_and_shrinks(tmp_path: Path) -> None:
    path = tmp_path / "memorization.npy"
    archive = LossArchive(path, 2, 3)
    for epoch in range(2):
        archive.keep(epoch, torch.tensor([1.0, 2.0, 3.0]) + epoch)
    LossArchive(path, 4, 3).keep(2, torch.tensor([7.0, 8.0, 9.0]))
    nan = np.nan
    np.testing.assert_array_equal(np.load(path), [[1, 2, 3], [2, 3, 4], [7, 8, 9], [nan, nan, nan]])
    assert np.load(path).dtype == np.float16
    LossArchive(path, 3, 3)
    np.testing.assert_array_equal(np.load(path), [[1, 2, 3], [2, 3, 4], [7, 8, 9]])
    with pytest.raises(StorageError, match="for other settings"):
        LossArchive(path, 3, 4)


def test_a_cyclical_schedule_is_not_gone_beyond(tmp_path: Path) -> None:
    run = tiny.make_run(tmp_path, "fgsm-dom-re", "train.epochs=2", "data.train_images=32")
    tiny.train_here(run)
    before = run.settings.read_text()
    with pytest.raises(ProcessError, match="cannot be trained beyond epoch 2: there its cyclical schedule ends"):
        extended(read_run(run), 3)
    with pytest.raises(ProcessError, match="has 2 epochs already: --epochs 2 leaves nothing to train"):
        extended(read_run(run), 2)
    assert run.settings.read_text() == before
