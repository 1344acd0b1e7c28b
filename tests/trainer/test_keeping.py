"""Which checkpoints are written when, and that a trainer may be killed at any point of writing them."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file
from trainer_killed_at_points import chosen_accuracy

from domcli import checkpoints, files
from domcli.errors import ProcessError, StorageError
from domcli.events import AnyEvent, CheckpointSaved, EpochEnd, Finished, Started, Stopped, TrainMetrics
from domcli.rundir import RunDirectory
from domcli.runs import read_run
from domcli.runstate import fold
from domcli.stream import EventReader, EventWriter
from domcli.trainer import checkpoint, loop, snapshot
from domcli.trainer.__main__ import _sole_trainer
from domcli.trainer.background import BackgroundWriter
from domcli.trainer.keeping import LAST_EVERY, Keeper
from domcli.trainer.memorization import LossArchive
from domcli.trainer.report import ProgressReporter
from domcli.trainer.state import Training
from domcli.trainer.stop import StopFlag, StopRequested

TIMEOUT = 60.0
"""Only a test that fails waits so long."""
SETTINGS = ("train.epochs=5", "checkpoint.every=0")
POINTS = [
    f"{label}-{number}-{stage}"
    for label in ("best", "last")
    for number in (1, 2)
    for stage in ("copied", "half", "synced", "renamed", "told")
]


@dataclass
class Scene:
    """A keeper at work on a run of 100 epochs, with a clock that a test moves."""

    run: RunDirectory
    training: Training
    events: EventWriter
    background: BackgroundWriter
    keeper: Keeper
    now: list[float]

    def epoch(self, *, best: bool = False) -> None:
        """End the next epoch."""
        self.training.epoch += 1
        self.keeper.after_epoch(
            EpochEnd(
                epoch=self.training.epoch,
                lr=0.1,
                train=TrainMetrics(natural_loss=1.0, natural_accuracy=0.5),
                test=None,
                train_attack=None,
                memorization=None,
                best=best,
                train_seconds=1.0,
                test_seconds=1.0,
                images_per_second=1.0,
                memory=1,
            )
        )

    def written(self) -> None:
        """Wait until all is written that was handed over."""
        done = threading.Event()
        self.background.do(done.set)
        assert done.wait(TIMEOUT)

    def stream(self) -> list[AnyEvent]:
        return EventReader(self.run.events).read()

    def saved(self, label: str) -> list[int]:
        return [event.epoch for event in tiny.of_kind(self.stream(), CheckpointSaved) if event.label == label]


@pytest.fixture
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    chosen = ("train.epochs=100", *getattr(request, "param", ("checkpoint.every=0",)))
    run = tiny.make_run(tmp_path, "natural-dom-re", *chosen)
    training = tiny.training("natural-dom-re", *chosen)
    events, now = EventWriter(run.events), [1000.0]
    with BackgroundWriter(events) as background:
        yield Scene(run, training, events, background, Keeper(run, training, background, lambda: now[0]), now)
    events.close()


def test_last_is_written_first_and_then_at_most_every_thirty_seconds(scene: Scene) -> None:
    assert LAST_EVERY == 30.0
    for seconds in (0.0, 10.0, 29.9, 30.0, 31.0, 59.9, 75.0, 104.9, 105.0):
        scene.now[0] = 1000.0 + seconds
        scene.epoch(best=seconds == 10.0)
    scene.written()
    assert scene.saved("last") == [1, 4, 7, 9]
    assert scene.saved("best") == [2]
    assert checkpoints.read_about(scene.run.checkpoint("last"))["epoch"] == 9


def test_last_is_written_at_the_end_and_when_asked_however_soon(scene: Scene) -> None:
    scene.epoch()
    scene.training.step = 5
    scene.keeper.save_last()
    scene.training.epoch, scene.training.step = 99, 0
    scene.epoch()
    scene.written()
    saved = [(event.epoch, event.step) for event in tiny.of_kind(scene.stream(), CheckpointSaved)]
    assert saved == [(1, 0), (1, 5), (100, 0)]


@pytest.mark.parametrize("swapped", ["run", "checkpoints"])
def test_a_trainer_at_work_writes_nothing_into_what_is_put_in_place_of_its_folder(tmp_path: Path, swapped: str) -> None:
    run, snapshots = tiny.make_run(tmp_path / "runs", "natural-dom-re"), snapshot.Snapshots(torch.device("cpu"))
    taken = snapshots.take({"weight": torch.zeros(2)}, {"epoch": 1, "step": 0})
    precious = tmp_path / "precious"
    (precious / "checkpoints").mkdir(parents=True)
    names = ("environment.json", "best.safetensors", "last.safetensors", "memorization.npy")
    for name in (*names, *(f"checkpoints/{name}" for name in names)):
        (precious / name).write_text("precious")
    before = {path: path.read_bytes() for path in precious.rglob("*.*")}
    place = {"run": run.path, "checkpoints": run.checkpoints}[swapped]
    with _sole_trainer(run, None, ""):
        place.rename(tmp_path / "away")
        place.symlink_to(precious)
        for label in ("best", "last"):
            with pytest.raises(StorageError, match="cannot write the checkpoint"):
                checkpoint.write_weights(run.checkpoint(label), taken, {})
        if swapped == "run":
            with pytest.raises(OSError, match="Somebody has put another folder in its place"):
                run.update_environment({"device": "cpu"})
            with pytest.raises(StorageError, match="Somebody has put another folder in its place"):
                LossArchive(run.memorization, 3, 4)
    assert {path: path.read_bytes() for path in precious.rglob("*.*")} == before


def test_a_trainer_works_in_the_folder_of_the_lock_that_it_was_given(tmp_path: Path) -> None:
    """Between launcher and trainer another run can be put in its place by who may write in the runs directory."""
    launched, another = (tiny.make_run(tmp_path / name, "natural-dom-re") for name in ("one", "two"))
    lock = files.open_own(launched.lock, os.O_RDWR)
    os.close(files.open_own(another.lock, os.O_RDWR))
    with (
        pytest.raises(ProcessError, match="is not the folder that this trainer was started for"),
        _sole_trainer(another, os.dup(lock), ""),
    ):
        raise AssertionError("it was trained")
    assert not another.process.exists()
    with _sole_trainer(launched, lock, ""):
        assert launched.process.exists()


@pytest.mark.parametrize("scene", [("checkpoint.every=2",)], indirect=True)
def test_files_and_events_have_one_order(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    write, tell, order = checkpoint._write, EventWriter.write, []

    def noting_write(path: Path, *rest: Any) -> None:
        write(path, *rest)
        order.append(path.stem)

    def noting_tell(writer: EventWriter, event: AnyEvent) -> AnyEvent:
        order.append(f"tells {getattr(event, 'label', type(event).__name__)}")
        return tell(writer, event)

    monkeypatch.setattr(checkpoint, "_write", noting_write)
    monkeypatch.setattr(EventWriter, "write", noting_tell)
    monkeypatch.setattr(EventWriter, "sync", lambda writer: order.append("sync"))
    scene.epoch()
    scene.now[0] += LAST_EVERY
    scene.epoch(best=True)
    scene.written()
    first, last = ["tells EpochEnd"], ["sync", "last", "tells last"]
    second = ["best", "tells EpochEnd", "tells best", "epoch-0002", "tells epoch"]
    assert order == [*first, *last, *second, *last]
    times = [event.time for event in scene.stream()]
    assert times == sorted(times)


def test_counters_and_tensors_are_those_of_the_moment_though_they_are_written_later(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, room = threading.Event(), threading.Event()
    scene.background.do(lambda: (begun.set(), room.wait(TIMEOUT)))
    assert begun.wait(TIMEOUT)
    training = scene.training
    training.best, training.seconds, training.epoch_seconds = 0.5, 7.0, 3.0
    expected = {name: value.clone() for name, value in checkpoint.state_of(training).items()}
    scene.epoch(best=True)
    expected |= {name: torch.tensor(training.batches) for name in expected if name.endswith("num_batches_tracked")}
    training.epoch, training.step, training.best, training.seconds, training.epoch_seconds = 50, 3, 0.9, 70.0, 30.0
    with torch.no_grad():
        for value in checkpoint.state_of(training).values():
            value.zero_() if value.dtype == torch.bool else value.add_(1)
    room.set()
    scene.written()
    last, best = scene.run.checkpoint("last"), scene.run.checkpoint("best")
    counters = {"epoch": 1, "step": 0, "best": 0.5, "seconds": 7.0, "epoch_seconds": 3.0}
    for path in (last, best):
        about = checkpoints.read_about(path)
        assert {key: about[key] for key in counters} == counters
    torch.testing.assert_close(load_file(last), expected, rtol=0, atol=0)
    weights = {name: value for name, value in expected.items() if not name.startswith(checkpoint.RESUME)}
    torch.testing.assert_close(load_file(best), weights, rtol=0, atol=0)


@pytest.mark.parametrize("scene", [("checkpoint.every=0", "data.train_images=71")], indirect=True)
def test_in_a_file_every_tensor_is_aligned_to_its_type(scene: Scene) -> None:
    """Some readers map the file and take tensors from it as they lie there."""
    scene.epoch()
    scene.written()
    content = scene.run.checkpoint("last").read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    entries = [entry for name, entry in json.loads(content[8:begin]).items() if name != "__metadata__"]
    sizes = {"F64": 8, "I64": 8, "F32": 4, "BOOL": 1}
    assert {entry["dtype"] for entry in entries} == set(sizes)
    assert [(begin + entry["data_offsets"][0]) % sizes[entry["dtype"]] for entry in entries] == [0] * len(entries)


def test_a_disk_that_is_too_slow_makes_the_training_wait_and_memory_does_not_grow(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, room, begun = checkpoint._write, threading.Semaphore(0), threading.Event()

    def slow(*arguments: Any) -> None:
        begun.set()
        assert room.acquire(timeout=TIMEOUT)
        write(*arguments)

    monkeypatch.setattr(checkpoint, "_write", slow)
    allocate, allocated, ended = snapshot._host_memory, [], []
    monkeypatch.setattr(snapshot, "_host_memory", lambda value, **how: (allocated.append(1), allocate(value, **how))[1])
    waits, looked = scene.background.wait_until, threading.Event()

    def noted_wait(reached: Any) -> None:
        waits(lambda: bool(reached()) or looked.set() is not None)

    monkeypatch.setattr(scene.background, "wait_until", noted_wait)

    def train() -> None:
        for _ in range(6):
            scene.epoch(best=True)
            ended.append(scene.training.epoch)

    training = threading.Thread(target=train)
    training.start()
    assert begun.wait(TIMEOUT)
    assert looked.wait(TIMEOUT)  # the training has found no room
    assert ended == list(range(1, snapshot.MOST + 1))  # it went on until then, though nothing was written
    assert not list(scene.run.checkpoints.iterdir())
    room.release(7)  # six of best, and last after the first
    training.join(TIMEOUT)
    assert ended == [1, 2, 3, 4, 5, 6]
    scene.written()
    assert scene.saved("best") == [1, 2, 3, 4, 5, 6]
    assert len(allocated) <= snapshot.MOST * len(checkpoint.state_of(scene.training))


def no_room(handle: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_ends_the_training_and_leaves_the_files_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "headline_accuracy", chosen_accuracy)
    run, reference = (tiny.make_run(tmp_path, "pgd-dom-re", *SETTINGS, name=name) for name in ("run", "reference"))
    tiny.train_here(reference)
    sync, kept = os.fsync, {}

    def full_at_the_second_best(handle: int) -> None:
        target = Path(f"/proc/self/fd/{handle}").readlink()
        if target.name.startswith(".new-best.safetensors-") and run.checkpoint("best").exists():
            kept.update({path.name: path.read_bytes() for path in run.checkpoints.glob("*.safetensors")})
            no_room(handle)
        sync(handle)

    with monkeypatch.context() as patched:
        patched.setattr("domcli.trainer.os.fsync", full_at_the_second_best)
        with pytest.raises(StorageError, match=r"checkpoint .*best.*the disk is full; make room, then resume"):
            tiny.train_here(run)
    assert {path.name: path.read_bytes() for path in run.checkpoints.iterdir()} == kept
    epochs = tiny.of_kind(tiny.events(run), EpochEnd)
    assert [(end.epoch, end.best) for end in epochs] == [(1, True), (2, False)]
    tiny.train_here(run)
    assert tiny.lasting(run) == tiny.lasting(reference)


def test_a_stop_writes_last_before_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, stop = tiny.make_run(tmp_path, "natural-dom-re", *SETTINGS), StopFlag()

    def ask_in_the_third_epoch(self: ProgressReporter) -> None:
        if (self._training.epoch, self._training.step) == (2, 2):
            stop.reason = "asked to by a test"

    monkeypatch.setattr(ProgressReporter, "after_step", ask_in_the_third_epoch)
    with pytest.raises(StopRequested):
        tiny.train_here(run, stop)
    saved, stopped = tiny.events(run)[-2:]
    assert isinstance(saved, CheckpointSaved)
    assert isinstance(stopped, Stopped)
    assert (saved.label, saved.epoch, saved.step) == ("last", 2, 2)
    assert (stopped.epoch, stopped.step) == (2, 2)
    about = checkpoints.read_about(run.checkpoint("last"))
    assert (about["epoch"], about["step"]) == (2, 2)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    run = tiny.make_run(tmp_path_factory.mktemp("undisturbed"), "pgd-dom-re", *SETTINGS)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loop, "headline_accuracy", chosen_accuracy)
        events = tiny.train_here(run)
    assert [end.epoch for end in tiny.of_kind(events, EpochEnd) if end.best] == [1, 3, 5]
    assert [event.epoch for event in events if isinstance(event, CheckpointSaved) and event.label == "last"] == [1, 5]
    assert isinstance(events[-1], Finished)
    return run


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    for point in POINTS:
        tiny.make_run(folder, "pgd-dom-re", *SETTINGS, name=point)
    script = Path(__file__).with_name("trainer_killed_at_points.py")
    subprocess.run([sys.executable, script, folder], check=True, timeout=300)
    return folder


def epoch_of(path: Path) -> int:
    return int(checkpoints.read_about(path)["epoch"]) if path.exists() else 0


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_best_is_not_behind_and_a_resume_equals_an_undisturbed_run(
    killed: Path, undisturbed: RunDirectory, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "headline_accuracy", chosen_accuracy)
    run = RunDirectory(killed / point)
    label, number, stage = point.split("-")
    state, before = fold(tiny.events(run)), epoch_of(run.checkpoint(label))
    told = state.best.epoch if state.best else 0
    assert epoch_of(run.checkpoint("best")) >= told
    assert epoch_of(run.checkpoint("last")) <= state.epochs_done
    epochs = {("best", "1"): (0, 1), ("best", "2"): (1, 3), ("last", "1"): (0, 1), ("last", "2"): (1, 5)}[label, number]
    assert before == epochs[stage in ("renamed", "told")]
    if label == "best":
        assert state.epochs_done == epochs[1] - (stage != "told")
    done = epoch_of(run.checkpoint("last"))
    events = tiny.train_here(run)
    assert [event.epoch for event in tiny.of_kind(events, Started)] == [0, done]
    assert tiny.lasting(run) == tiny.lasting(undisturbed)
    for name in ("best", "last"):
        found, expected = (load_file(one.checkpoint(name)) for one in (run, undisturbed))
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
        abouts = [checkpoints.read_about(one.checkpoint(name)) for one in (run, undisturbed)]
        assert len({(about["epoch"], about["step"], about["best"]) for about in abouts}) == 1
    assert [path.name for path in sorted(run.checkpoints.iterdir())] == ["best.safetensors", "last.safetensors"]
    shown, whole = read_run(run), read_run(undisturbed)
    assert [end.epoch for end in shown.state.epochs] == [1, 2, 3, 4, 5]
    assert (shown.state.best and shown.state.best.epoch) == (whole.state.best and whole.state.best.epoch)
    assert shown.findings == whole.findings
