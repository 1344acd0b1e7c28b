"""How long runs will take, from runs that were timed."""

from __future__ import annotations

import msgspec
import pytest
import samples
from run_directories import created

from domcli import __version__, devices
from domcli.devices import CPU, Device, Gpu
from domcli.events import Finished
from domcli.launch import queue
from domcli.launch.estimate import Estimator, duration_of_all
from domcli.presets import resolve
from domcli.sharing import figures
from domcli.stream import EventWriter
from domcli.timing import kept
from domcli.timing.estimate import Measured, MeasuredEvaluation, MeasuredStep

HERE = "Test CPU"


@pytest.fixture(autouse=True)
def _machine(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(devices, "cpu_name", lambda: HERE)
    monkeypatch.setattr(devices, "gpus", lambda: [Gpu(0, "GPU-a", "Test GPU", 1, 0, None, ())])


def timed(folder, preset: str, *overrides: str, device: str = HERE, seconds: float = 10.0, epochs: int = 4, end=True):
    """Make a run of which some epochs are done."""
    run = created(folder, resolve(preset, overrides), preset)
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
    return Estimator(folder, queue.new_ticket((device,))).seconds(resolve(preset, overrides))


def test_a_setting_that_was_timed_is_known_whatever_its_seed_and_epochs(tmp_path):
    timed(tmp_path, "pgd-dom-re")
    assert estimate(tmp_path, "pgd-dom-re", "train.seed=7") == 2000
    assert estimate(tmp_path, "pgd-dom-re", "train.epochs=10", "dom.threshold=0.3", "data.root=x") == 100


@pytest.mark.parametrize("changed", ["model.width=16", "train.batch_size=64", "attack.steps=5", "evaluation.every=2"])
def test_another_cost_is_another_setting(tmp_path, changed):
    timed(tmp_path, "pgd-dom-re")
    assert estimate(tmp_path, "pgd-dom-re", changed) is None
    assert estimate(tmp_path, "pgd-dom-augmix") is None


def tree(root, train: int, test: int):
    """Make an image folder with so many images in each class folder."""
    for split, count in (("train", train), ("test", test)):
        for name in ("a", "b/deeper"):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                (root / split / name / f"{number}.PNG").touch()
        (root / split / "a" / "notes.txt").touch()
    return root


def test_image_folders_are_of_one_setting_if_they_have_as_many_images(tmp_path):
    size = samples.started().train_size // 2, samples.started().test_size // 2
    own = tree(tmp_path / "own", *size)
    runs = tmp_path / "runs"
    timed(runs, "pgd-dom-re", "data.dataset=imagefolder", f"data.root={own}")

    def of(root):
        return estimate(runs, "pgd-dom-re", "data.dataset=imagefolder", f"data.root={root}")

    assert (of(own), of(tree(tmp_path / "as-large", *size))) == (2000, 2000)
    assert of(tree(tmp_path / "larger", size[0] + 1, size[1])) is None
    assert of(tmp_path / "absent") is None


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


def benched(*presets: str, device: str = HERE, cores: int | None = None, **changes: str) -> kept.Conditions:
    """Remember steps of 0.1 s and evaluations of 1 ms an image, of these presets with and without DOM."""
    conditions = kept.Conditions(
        device=device,
        cores=devices.cpu_count() if cores is None else cores or None,
        torch=changes.get("torch", figures.torch_version()),
        domcli=changes.get("domcli", __version__),
    )
    measured = Measured()
    for preset in presets:
        for overrides in ([], ["dom.operate=none"]):
            settings = resolve(preset, overrides)
            measured.add_step(settings, MeasuredStep(preset, 0.1))
            measured.add_evaluation(settings, MeasuredEvaluation(preset, 0.5, 500))
    kept.remember(conditions, measured)
    return conditions


def test_what_bench_has_measured_is_used_where_no_run_was_timed(tmp_path):
    benched("pgd-dom-re")
    assert estimate(tmp_path, "pgd-dom-re", "train.epochs=10") == pytest.approx(10 * (391 * 0.1 + 10))
    assert estimate(tmp_path, "pgd-dom-re", "model.width=32") is None
    assert estimate(tmp_path, "fgsm-dom-re") is None
    timed(tmp_path, "pgd-dom-re")
    assert estimate(tmp_path, "pgd-dom-re", "train.epochs=10") == 100


@pytest.mark.parametrize(
    "elsewhere", [{"device": "Other CPU"}, {"cores": 99}, {"torch": "0.1"}, {"domcli": "0.0.0"}, {"cores": 0}]
)
def test_what_was_measured_elsewhere_or_with_other_software_does_not_count(tmp_path, elsewhere):
    benched("pgd-dom-re", **elsewhere)
    assert estimate(tmp_path, "pgd-dom-re") is None


def test_measurements_are_kept_side_by_side_and_renewed(tmp_path):
    benched("pgd-dom-re")
    benched("fgsm-dom-re")
    benched("natural-dom-re", device="Test GPU", cores=0)
    assert estimate(tmp_path, "pgd-dom-re") is not None
    assert estimate(tmp_path, "fgsm-dom-re") is not None
    assert estimate(tmp_path, "natural-dom-re") is None
    assert estimate(tmp_path, "natural-dom-re", device=Device("cuda:0", "GPU-a")) is not None
    measured = Measured()
    measured.add_step(resolve("pgd-dom-re", ["dom.operate=none"]), MeasuredStep("x", 0.2))
    kept.remember(benched(), measured)
    once = 195.5 * 0.2 + 195.5 * 0.1  # half of the epoch comes before DOM
    assert estimate(tmp_path, "pgd-dom-re", "train.epochs=1") == pytest.approx(once + 10, abs=0.2)


@pytest.mark.parametrize("content", ["", "[", "[1]", '[{"conditions": 3}]', "[" * 100_000, '{"a": NaN}', "\xff"])
def test_damaged_measurements_count_as_none(tmp_path, content):
    conditions = benched("pgd-dom-re")
    kept.file().write_text(content, encoding="latin-1")
    assert kept.recall(conditions) is None
    assert estimate(tmp_path, "pgd-dom-re") is None
    benched("pgd-dom-re")
    assert estimate(tmp_path, "pgd-dom-re") is not None
