"""Attacks on a checkpoint: the right numbers whatever the batches, nothing done twice, lost or disturbed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import assessed
import msgspec
import out_of_memory
import pytest
import torch
import torch.nn.functional as F

from domcli import evaluations
from domcli.errors import CheckpointError, DataError
from domcli.evaluations import Batch, Progress
from domcli.rundir import RunDirectory
from domcli.trainer.assess import batches, measure, pgd
from domcli.trainer.assess.batches import FittingNetwork, images_that_fit
from domcli.trainer.assess.measure import Pace
from domcli.trainer.assess.stage import Stage
from domcli.trainer.attacks import Attack, perturb_from
from domcli.trainer.models import Classifier
from domcli.trainer.stop import StopRequested

LINF = Attack("linf", 4 / 255, 1 / 255, 3, 1)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return assessed.trained(tmp_path)


def test_accuracies_are_those_of_the_network_in_eval_mode_and_float32(run: RunDirectory) -> None:
    found = assessed.evaluate(run, assessed.plan(run, steps=5, restarts=2))
    classifier, images, labels = assessed.network(run)
    correct = classifier(images).argmax(1) == labels
    assert found.natural_accuracy == correct.sum().item() / 40 > 0.5
    for restart in range(2):
        attack = Attack("linf", 4 / 255, 1 / 255, 5, 2)
        noise = pgd.starts(attack, images, range(len(labels)), 0, restart)
        loss_of = lambda x, y: F.cross_entropy(classifier(x), y, reduction="none")  # noqa: E731
        perturbed = images + perturb_from(noise, loss_of, images, labels, attack)
        correct &= classifier(perturbed).argmax(1) == labels
    assert found.accuracy == correct.sum().item() / 40
    assert found.accuracy < found.natural_accuracy
    assert found.stages == {"natural": found.natural_accuracy, "pgd": found.accuracy}
    assert (found.images, found.test_images, found.is_complete, found.device) == (40, 40, True, "cpu")
    assert found.seconds > 0


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_results_do_not_depend_on_the_batch_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, norm: evaluations.Norm
) -> None:
    kept = []
    for size in (250, 7, 1):
        (tmp_path / str(size)).mkdir()
        run = assessed.trained(tmp_path / str(size))
        monkeypatch.setattr(batches, "CPU_IMAGES", size)
        asked = assessed.plan(run, norm=norm, epsilon=6 if norm == "linf" else 40, alpha=2, steps=4, restarts=2)
        assessed.evaluate(run, asked)
        kept.append([assessed.correct(run, asked, stage) for stage in ("natural", "pgd")])
    assert kept[0] == kept[1] == kept[2]
    assert len(set(kept[0][1].values())) == 2


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_random_start_depends_on_seed_image_and_restart_alone(norm: evaluations.Norm) -> None:
    attack = Attack(norm, 0.1, 0.1, 1, 1)
    images = torch.zeros(4, 3, 8, 8)
    starts = pgd.starts(attack, images, [0, 5, 9, 2], 0, 0)
    assert torch.equal(pgd.starts(attack, images[:2], [9, 5], 0, 0), starts[[2, 1]])
    sizes = starts.flatten(1).abs().amax(1) if norm == "linf" else starts.flatten(1).norm(dim=1)
    assert (sizes <= 0.1 + 1e-6).all()
    assert (sizes > 0).all()
    others = [pgd.starts(attack, images[:1], [0], 1, 0), pgd.starts(attack, images[:1], [0], 0, 1), starts[1:2]]
    assert not any(torch.equal(other, starts[:1]) for other in others)


def test_a_chosen_number_of_images_is_spread_over_the_classes(run: RunDirectory) -> None:
    asked = assessed.plan(run, images=10, steps=1)
    found = assessed.evaluate(run, asked)
    _, _, labels = assessed.network(run)
    assert sorted(labels[list(assessed.correct(run, asked, "natural"))].tolist()) == list(range(10))
    assert (found.images, found.test_images, found.is_complete) == (10, 40, False)


def test_more_images_than_there_are_is_refused(run: RunDirectory) -> None:
    with pytest.raises(DataError, match="--images is 41, but the run's test set has 40 images"):
        assessed.evaluate(run, assessed.plan(run, images=41))


def test_weights_of_another_network_are_refused(run: RunDirectory) -> None:
    text = run.settings.read_text()
    asked = assessed.plan(run)
    run.settings.write_text(text.replace("width = 4", "width = 8"))
    with pytest.raises(CheckpointError, match=r"best\.safetensors does not fit the network of the run's settings"):
        assessed.evaluate(run, asked)


def test_what_was_found_before_is_not_done_again(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "CPU_IMAGES", 8)
    asked = assessed.plan(run, steps=2)
    whole = assessed.evaluate(run, asked)
    file = run.evaluations / asked.name / "images.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    assert len(lines) > 7
    (run.evaluations / asked.name / "result.json").unlink()
    # As a crash in the middle of a write leaves it; the first batch was found otherwise, to tell that it is believed.
    first = msgspec.json.decode(lines[0], type=Batch)
    other = msgspec.structs.replace(first, correct=[False] * len(first.correct))
    file.write_bytes(msgspec.json.encode(other) + b"\n" + b"".join(lines[1:6]) + lines[6][:-9])
    again = assessed.evaluate(run, asked)
    assert file.read_bytes().splitlines(keepends=True)[1:6] == lines[1:6]
    fewer = sum(first.correct)
    assert again.natural_accuracy == pytest.approx(whole.natural_accuracy - fewer / 40)


def test_breaking_off_keeps_what_was_done_and_the_result_is_as_if_it_had_not(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "CPU_IMAGES", 8)
    (tmp_path / "other").mkdir()
    undisturbed = assessed.evaluate(assessed.trained(tmp_path / "other"), assessed.plan(run, steps=2))

    def stop(progress: Progress) -> None:
        if progress.stage == "pgd" and progress.done == 8:
            raise StopRequested("asked to")

    asked = assessed.plan(run, steps=2)
    with pytest.raises(StopRequested):
        assessed.evaluate(run, asked, stop)
    assert len(assessed.correct(run, asked, "pgd")) == 8
    assert evaluations.read_all(run) == []
    told: list[Progress] = []
    found = assessed.evaluate(run, asked, told.append)
    assert found.stages == undisturbed.stages
    assert next(one for one in told if one.stage == "pgd").done == 8


def test_progress_ends_at_one_and_counts_the_fooled(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "CPU_IMAGES", 16)
    told: list[Progress] = []
    found = assessed.evaluate(run, assessed.plan(run, steps=2), told.append)
    fractions = [one.fraction for one in told if one.stage == "pgd"]
    assert fractions == sorted(fractions)
    assert (told[0].fraction, told[-1].fraction, told[-1].remaining) == (0, 1, 0)
    assert told[-1].correct / told[-1].total == found.accuracy
    assert told[-1].images == round(40 * found.natural_accuracy)


class Clock:
    """Stands for the time; a pass of the network takes so many seconds, and the first pass of all much longer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(measure, "time", SimpleNamespace(monotonic=lambda: self.now))


def test_the_time_left_is_told_from_passes_of_attacks_and_from_who_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, told = Clock(monkeypatch), []
    costs = {"natural": 1, "a": 10, "b": 90}
    stages = [Stage(name, lambda *_: torch.ones(1), cost, cost) for name, cost in costs.items()]
    pace = Pace(stages, 20, told.append)
    pace.begin(stages[0], 20, [])
    pace.begin_batch(20)
    pace.after_pass()
    clock.now += 60  # the first pass of a process
    pace.after_batch([True] * 20)
    assert told[-1].remaining is None
    pace.begin(stages[1], 20, [])
    for correct in ([True] + [False] * 9, [True] + [False] * 9):
        pace.begin_batch(10)
        for _ in range(10):
            pace.after_pass()
            clock.now += 1
        pace.after_batch(correct)
    # All of the first batch but one were fooled, so one is expected to be left of the other ten.
    half = next(one for one in told if (one.stage, one.done) == ("a", 10))
    assert half.remaining == pytest.approx((10 * 10 + 2 * 90) / (10 * 10 - 20) * 9)
    assert told[-1].remaining == pytest.approx(2 * 90 / (20 * 10 - 20) * 19)
    assert told[-1].fraction == pytest.approx(220 / (220 + 180))
    pace.begin(stages[2], 2, [])
    pace.begin_batch(2)
    pace.after_batch([True, False])
    assert (told[-1].fraction, told[-1].remaining) == (1, 0)


class Memory:
    """Stands before a network and lets at most so many images through at once, as a small GPU would."""

    def __init__(self, classifier: Classifier, most: int) -> None:
        self.largest = 0
        self._most = most
        self._forward = classifier.forward
        classifier.forward = self  # type: ignore[method-assign]

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        if len(images) > self._most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.largest = max(self.largest, len(images))
        return self._forward(images)


def test_when_memory_does_not_suffice_images_go_through_in_halves(run: RunDirectory) -> None:
    classifier, images, labels = assessed.network(run)
    network = FittingNetwork(classifier, 40)
    asked = assessed.plan(run, steps=3)
    stage = pgd.stage(network, asked)
    expected = stage.still_correct(images, labels, range(40))
    memory = Memory(classifier, 6)
    found = network.fitting(lambda: stage.still_correct(images, labels, range(40)))
    assert torch.equal(found, expected)
    assert (network.size, memory.largest) == (5, 5)


def test_memory_that_does_not_suffice_for_one_image_is_an_error(run: RunDirectory) -> None:
    classifier, images, _ = assessed.network(run)
    Memory(classifier, 0)
    with pytest.raises(torch.OutOfMemoryError):
        FittingNetwork(classifier, 4).fitting(lambda: classifier(images[:1]))


@pytest.mark.parametrize("error", [*out_of_memory.GPU, *out_of_memory.MACHINE], ids=out_of_memory.name)
def test_whatever_says_that_memory_ran_out_halves_the_images(run: RunDirectory, error: Exception) -> None:
    network = FittingNetwork(assessed.network(run)[0], 8)

    def work() -> int:
        if network.size > 2:
            raise error
        return network.size

    assert network.fitting(work) == 2


@pytest.mark.parametrize("error", out_of_memory.OTHER, ids=out_of_memory.name)
def test_other_errors_go_up_at_once(run: RunDirectory, error: Exception) -> None:
    network = FittingNetwork(assessed.network(run)[0], 8)

    def work() -> None:
        raise error

    with pytest.raises(type(error)):
        network.fitting(work)
    assert network.size == 8


MB = 1 << 20


class FakeGpu:
    """Stands for torch's view of a GPU on which a network takes a workspace, and so much more for each image."""

    def __init__(self, free: int, workspace: int, each: int, weights: int = 90 * MB, lasting: int = 0) -> None:
        self._free, self._workspace, self._each = free, workspace, each
        self._allocated = self._peak = weights
        self._lasting = lasting
        """What a library takes at its first use and keeps."""
        self.probed: list[int] = []
        self.emptied = 0
        self.cuda = SimpleNamespace(
            memory_allocated=lambda device: self._allocated,
            max_memory_allocated=lambda device: self._peak,
            reset_peak_memory_stats=self._reset,
            mem_get_info=lambda device: (self._free, 80_000 * MB),
            empty_cache=self._empty,
        )
        self.int64 = torch.int64

    def zeros(self, *shape: int, device: torch.device, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.zeros(*shape, dtype=dtype)

    def classify(self, images: torch.Tensor) -> torch.Tensor:
        count = len(images)
        self.probed.append(count)
        if self.takes(count) > self._free:
            raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")
        self._allocated, self._free, self._lasting = self._allocated + self._lasting, self._free - self._lasting, 0
        self._peak = self._allocated + self.takes(count)
        return images.flatten(1)[:, :2]

    def takes(self, count: int) -> int:
        return self._lasting + self._workspace + count * self._each

    def _reset(self, device: torch.device) -> None:
        self._peak = self._allocated

    def _empty(self) -> None:
        self.emptied += 1


def fitting_on(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(batches, "torch", gpu)
    classifier: Any = gpu.classify
    return images_that_fit(classifier, (3, 4, 4), torch.device("cuda"))


@pytest.mark.parametrize("workspace", [0, 256 * MB, 1024 * MB])
def test_workspaces_of_libraries_do_not_count_for_every_image(monkeypatch: pytest.MonkeyPatch, workspace: int) -> None:
    gpu = FakeGpu(8000 * MB, workspace, each=8 * MB)
    found = fitting_on(gpu, monkeypatch)
    assert found == (0.7 * 8000 * MB - workspace) // (8 * MB)
    assert gpu.probed == [64, 128]
    assert gpu.emptied == 1


def test_what_a_library_keeps_from_its_first_use_does_not_count_against_the_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu = FakeGpu(8000 * MB, 100 * MB, each=8 * MB, lasting=300 * MB)
    assert 0 <= (0.7 * 7700 * MB - 100 * MB) // (8 * MB) - fitting_on(gpu, monkeypatch) <= 300 // 8 + 1


@pytest.mark.parametrize(
    ("free", "probed"), [(1000, [64, 128, 32, 64]), (300, [64, 32, 64, 16, 32]), (115, [64, 32, 16, 8, 16, 4, 8])]
)
def test_a_probe_that_does_not_fit_is_done_with_fewer_images(
    monkeypatch: pytest.MonkeyPatch, free: int, probed: list[int]
) -> None:
    gpu = FakeGpu(free * MB, 40 * MB, each=8 * MB)
    found = fitting_on(gpu, monkeypatch)
    assert gpu.probed == probed
    assert 1 <= found == (0.7 * free * MB - 40 * MB) // (8 * MB)
    assert gpu.takes(found) <= free * MB


def test_where_nothing_fits_an_image_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fitting_on(FakeGpu(10 * MB, 40 * MB, each=8 * MB), monkeypatch) == 1


def test_no_more_than_enough_images_are_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fitting_on(FakeGpu(80_000 * MB, 40 * MB, each=MB), monkeypatch) == batches.MOST_IMAGES


def test_a_network_that_fails_in_the_probe_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = FakeGpu(8000 * MB, 0, each=MB)
    monkeypatch.setattr(gpu, "classify", lambda images: images.missing)
    with pytest.raises(AttributeError, match="missing"):
        fitting_on(gpu, monkeypatch)


def test_gradients_of_pieces_are_those_of_the_whole(run: RunDirectory) -> None:
    classifier, images, labels = assessed.network(run)
    gradients = []
    for size in (40, 7):
        pixels = images.clone().requires_grad_()
        F.cross_entropy(FittingNetwork(classifier, size)(pixels), labels, reduction="sum").backward()
        gradients.append(pixels.grad)
    torch.testing.assert_close(gradients[0], gradients[1])
    assert all(parameter.grad is None for parameter in classifier.parameters())


def start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "domcli.trainer.assess", str(folder), "--device", "cpu"], stdout=subprocess.PIPE
    )


def wait_for_attack(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        said = evaluations.decode(line)
        if isinstance(said, Progress) and said.stage == "pgd" and said.fraction > 0.001:
            return
    raise AssertionError("the process ended before it attacked")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_is_stopped_or_killed_keeps_what_it_found(run: RunDirectory, number: signal.Signals) -> None:
    asked = assessed.plan(run, steps=100_000)
    folder = evaluations.prepare(run, asked)
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file() and folder not in path.parents}
    process = start(folder)
    try:
        wait_for_attack(process)
        refused = start(folder)
        said = [evaluations.decode(line) for line in refused.communicate(timeout=240)[0].splitlines()]
        assert refused.returncode == 2
        assert said == [evaluations.Refusal(f"another process is at work on this evaluation ({folder})")]
        process.send_signal(number)
        assert process.wait(timeout=240) == (3 if number == signal.SIGTERM else -9)
    finally:
        process.kill()
        process.communicate()
    assert len(assessed.correct(run, asked, "natural")) == 40
    # The run itself is as it was.
    assert before == {path: path.read_bytes() for path in before}


def test_a_process_that_nobody_listens_to_any_more_stops(run: RunDirectory) -> None:
    process = start(evaluations.prepare(run, assessed.plan(run, steps=100_000)))
    try:
        wait_for_attack(process)
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=240) == 3
    finally:
        process.kill()
        process.wait()


def test_a_checkpoint_that_changes_before_it_is_read_is_refused(run: RunDirectory) -> None:
    asked = assessed.plan(run, checkpoint="last")
    folder = evaluations.prepare(run, asked)
    run.checkpoint("last").write_bytes(run.checkpoint("best").read_bytes())
    process = start(folder)
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 2
    (said,) = [json.loads(line) for line in out.splitlines()]
    assert "has been replaced since its evaluation was asked for" in said["reason"]


@pytest.mark.parametrize("swapped", ["evaluations", "evaluation"])
def test_a_process_works_in_no_folder_reached_through_a_link_in_the_run(
    run: RunDirectory, tmp_path: Path, swapped: str
) -> None:
    folder = evaluations.prepare(run, assessed.plan(run))
    place = {"evaluations": run.evaluations, "evaluation": folder}[swapped]
    place.rename(tmp_path / "moved")
    place.symlink_to(tmp_path / "moved")
    before = sorted((tmp_path / "moved").rglob("*"))
    out, _ = start(folder).communicate(timeout=240)
    assert out.startswith(b'{"kind":"refusal"'), out
    assert b"cannot write in" in out
    assert sorted((tmp_path / "moved").rglob("*")) == before


BROKEN = """
import sys
from domcli.trainer.assess import __main__, assessment
assessment.natural = None
sys.exit(__main__.main(sys.argv[1:]))
"""


def test_a_failure_is_a_sentence_and_its_traceback_goes_to_stderr(run: RunDirectory) -> None:
    folder = evaluations.prepare(run, assessed.plan(run))
    command = [sys.executable, "-c", BROKEN, str(folder), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, timeout=240, check=False)
    assert done.returncode == 1
    said = evaluations.decode(done.stdout.splitlines()[-1])
    assert said == evaluations.Refusal("TypeError: 'NoneType' object is not callable")
    assert b"Traceback" in done.stderr
