"""How long runs will take, from runs that were timed."""

from __future__ import annotations

import msgspec
import pytest
import samples

from domcli import devices, launch
from domcli.devices import CPU, Device, Gpu
from domcli.events import Finished
from domcli.launch.estimate import Estimator, duration_of_all
from domcli.presets import resolve
from domcli.stream import EventWriter

HERE = "Test CPU"


@pytest.fixture(autouse=True)
def _machine(monkeypatch):
    monkeypatch.setattr(devices, "cpu_name", lambda: HERE)
    monkeypatch.setattr(devices, "gpus", lambda: [Gpu(0, "GPU-a", "Test GPU", 1, 0, None, ())])


def timed(folder, preset: str, *overrides: str, device: str = HERE, seconds: float = 10.0, epochs: int = 4, end=True):
    """Make a run of which some epochs are done."""
    run = launch.create_run(resolve(preset, overrides), preset, folder, None, "")
    writer = EventWriter(run.events)
    writer.write(msgspec.structs.replace(samples.started(), device_name=device, epochs=epochs))
    for epoch in range(1, epochs + 1):
        writer.write(
            msgspec.structs.replace(samples.epoch_end(epoch=epoch), train_seconds=seconds - 1, test_seconds=1.0)
        )
    if end:
        writer.write(Finished(seconds=1.0))
    writer.close()


def estimate(folder, preset: str, *overrides: str, device: Device = CPU) -> float | None:
    return Estimator(folder, launch.new_ticket((device,))).seconds(resolve(preset, overrides))


def test_a_setting_that_was_timed_is_known_whatever_its_seed_and_epochs(tmp_path):
    timed(tmp_path, "pgd-dom-re")
    assert estimate(tmp_path, "pgd-dom-re", "train.seed=7") == 2000
    assert estimate(tmp_path, "pgd-dom-re", "train.epochs=10", "dom.threshold=0.3", "data.root=x") == 100


@pytest.mark.parametrize("changed", ["model.width=16", "train.batch_size=64", "attack.steps=5", "evaluation.every=2"])
def test_another_cost_is_another_setting(tmp_path, changed):
    timed(tmp_path, "pgd-dom-re")
    assert estimate(tmp_path, "pgd-dom-re", changed) is None
    assert estimate(tmp_path, "pgd-dom-augmix") is None


def test_what_was_timed_on_another_device_does_not_count(tmp_path):
    timed(tmp_path, "pgd-dom-re", device="Test GPU", seconds=2.0)
    assert estimate(tmp_path, "pgd-dom-re") is None
    assert estimate(tmp_path, "pgd-dom-re", device=Device("cuda:0", "GPU-a")) == 400


def test_whole_runs_are_trusted_before_parts_of_one(tmp_path):
    timed(tmp_path, "pgd-dom-re", seconds=5.0, end=False)
    assert estimate(tmp_path, "pgd-dom-re") == 1000
    timed(tmp_path, "pgd-dom-re", seconds=10.0)
    timed(tmp_path, "pgd-dom-re", seconds=20.0)
    assert estimate(tmp_path, "pgd-dom-re") == 3000


def test_a_part_is_used_for_a_setting_of_which_no_run_has_finished(tmp_path):
    timed(tmp_path, "pgd-dom-re", seconds=10.0)
    timed(tmp_path, "natural-dom-re", seconds=3.0, end=False)
    assert estimate(tmp_path, "natural-dom-re") == 900


@pytest.mark.parametrize(
    ("seconds", "slots", "expected"),
    [
        ([4, 3, 2, 1], 1, 10),
        ([4, 3, 2, 1], 2, 5),
        ([1, 1, 10], 2, 11),
        ([4, 3], 4, 4),
        ([4, None], 2, None),
        ([], 2, 0),
    ],
)
def test_the_queue_takes_as_long_as_its_longest_slot(seconds, slots, expected):
    assert duration_of_all(seconds, slots) == expected
