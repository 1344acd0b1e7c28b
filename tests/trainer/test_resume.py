"""Interrupted runs: whatever ends a trainer, the resumed run gives the epochs of one never interrupted."""

from __future__ import annotations

import itertools
import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from domcli import checkpoints
from domcli.events import AnyEvent, EpochEnd, Failed, Finished, Progress, Started, Stopped
from domcli.rundir import RunDirectory
from domcli.runs import read_run
from domcli.runstate import fold
from domcli.trainer.report import ProgressReporter
from domcli.trainer.stop import StopFlag, StopRequested

SLOW = ("train.epochs=4", "data.train_images=600", "model.width=8", "attack.steps=4", "dom.threshold=3")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    run = tiny.make_run(tmp_path_factory.mktemp("undisturbed"), "pgd-dom-augmix", *SLOW)
    assert isinstance(tiny.finish(run)[-1], Finished)
    return run


def in_the_middle_of(epoch: int) -> tiny.Callable[[list[AnyEvent]], bool]:
    def reached(events: list[AnyEvent]) -> bool:
        steps = [event for event in tiny.of_kind(events, Progress) if event.epoch == epoch and event.phase == "train"]
        return bool(steps) and steps[-1].step < steps[-1].steps

    return reached


def test_killed_in_the_middle_of_an_epoch(undisturbed: RunDirectory, tmp_path: Path) -> None:
    run = tiny.make_run(tmp_path, "pgd-dom-augmix", *SLOW)
    assert tiny.interrupt(run, in_the_middle_of(3), signal.SIGKILL) == -signal.SIGKILL
    with run.events.open("ab") as stream:
        stream.write(b'{"kind":"epoch","half a li')  # what a crash in the middle of a write leaves
    events = tiny.finish(run)
    started = tiny.of_kind(events, Started)
    assert [(event.epoch, event.step) for event in started] == [(0, 0), (1, 0)]  # where `last` was written last
    assert tiny.lasting(run) == tiny.lasting(undisturbed)
    state = fold(events)
    assert [epoch.epoch for epoch in state.epochs] == [1, 2, 3, 4]
    assert isinstance(state.closing, Finished)


def test_stopped_in_the_middle_of_an_epoch_goes_on_from_that_step(undisturbed: RunDirectory, tmp_path: Path) -> None:
    run = tiny.make_run(tmp_path, "pgd-dom-augmix", *SLOW)
    assert tiny.interrupt(run, in_the_middle_of(3), signal.SIGTERM) == 3
    stopped = tiny.events(run)[-1]
    assert isinstance(stopped, Stopped)
    assert "SIGTERM" in stopped.reason
    assert stopped.epoch == 2
    assert stopped.step > 0
    events = tiny.finish(run)
    assert (tiny.of_kind(events, Started)[-1].epoch, tiny.of_kind(events, Started)[-1].step) == (2, stopped.step)
    assert tiny.lasting(run) == tiny.lasting(undisturbed)


def test_stopped_during_the_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = tiny.make_run(tmp_path, "fgsm-dom-re", name="reference")
    tiny.train_here(reference)
    run, stop = tiny.make_run(tmp_path, "fgsm-dom-re"), StopFlag()

    def ask_in_the_second_evaluation(self: ProgressReporter, done: int, batches: int) -> None:
        if self._training.epoch == 1:
            stop.reason = "asked to by a test"

    with monkeypatch.context() as patched:
        patched.setattr(ProgressReporter, "after_batch", ask_in_the_second_evaluation)
        with pytest.raises(StopRequested):
            tiny.train_here(run, stop)
    stopped = tiny.events(run)[-1]
    assert isinstance(stopped, Stopped)
    assert (stopped.epoch, stopped.step) == (1, 3)
    tiny.train_here(run)
    assert tiny.lasting(run) == tiny.lasting(reference)


def test_a_checkpoint_of_an_earlier_version_is_gone_on_from(tmp_path: Path) -> None:
    """Those have no threshold, and their runs told in environment.json how they compute."""
    reference, run = (tiny.make_run(tmp_path, "pgd-dom-re", name=name) for name in ("whole", "run"))
    tiny.train_here(reference)
    stop = StopFlag()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ProgressReporter, "after_batch", lambda *_: setattr(stop, "reason", "asked to by a test"))
        with pytest.raises(StopRequested):
            tiny.train_here(run, stop)
    path, about = run.checkpoint("last"), checkpoints.read_about(run.checkpoint("last"))
    tensors = {name: value for name, value in load_file(path).items() if name != "resume.record.threshold"}
    save_file(tensors, path, {"domcli": json.dumps(about)})
    run.computation.unlink()
    tiny.train_here(run)
    assert tiny.lasting(run) == tiny.lasting(reference)


def test_the_best_of_before_is_not_overwritten_by_a_worse_epoch_after(tmp_path: Path) -> None:
    run, stop = tiny.make_run(tmp_path, "natural-dom-re"), StopFlag()
    tiny.train_here(run)
    finished = tiny.events(run)
    assert tiny.train_here(run, stop)[len(finished) :][-1].seconds == finished[-1].seconds
    assert fold(tiny.events(run)).best == fold(finished).best


def test_a_second_trainer_is_refused_and_disturbs_nothing(tmp_path: Path) -> None:
    run = tiny.make_run(tmp_path, "pgd-dom-augmix", *SLOW)
    first = tiny.start(run)
    try:
        while not tiny.of_kind(tiny.events(run), Started):
            assert first.poll() is None, run.log.read_text()
        owner = run.process.read_bytes()
        assert tiny.start(run).wait(timeout=60) == 2
        assert run.process.read_bytes() == owner
        assert first.poll() is None
        assert "another trainer is at work" in run.log.read_text()
        assert not tiny.of_kind(tiny.events(run), Failed)
    finally:
        first.kill()
        first.wait()


def test_a_device_that_is_not_there_is_refused_with_a_closing_event(tmp_path: Path) -> None:
    run = tiny.make_run(tmp_path, "natural-dom-re")
    assert tiny.start(run, device="cuda:99").wait(timeout=120) == 2
    (closing,) = tiny.events(run)
    assert isinstance(closing, Failed)
    assert closing.cause == "refused"
    assert "cuda:99" in closing.reason


def end_within(run: RunDirectory, resource_: int, limit: int) -> int:
    """Train a run in a process that has a limit, to its end, and return the exit code."""
    with run.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "domcli.trainer", str(run.path), "--device", "cpu"],
            stdout=log,
            stderr=log,
            preexec_fn=lambda: resource.setrlimit(resource_, (limit, limit)),
        )
    return process.wait(timeout=120)


def test_files_that_cannot_be_written_end_the_run_with_that_reason(tmp_path: Path) -> None:
    run = tiny.make_run(tmp_path, "natural-dom-re")
    limit = 100_000  # bytes a file may have: the stream fits, a checkpoint does not
    assert end_within(run, resource.RLIMIT_FSIZE, limit) == 1
    closing = tiny.events(run)[-1]
    assert isinstance(closing, Failed)
    assert closing.cause == "storage"
    assert "checkpoint" in closing.reason
    assert [path.name for path in run.checkpoints.iterdir()] == []
    assert isinstance(tiny.finish(run)[-1], Finished)


def test_a_limit_on_memory_ends_the_run_as_memory_that_ran_out(tmp_path: Path) -> None:
    run = tiny.make_run(tmp_path, "natural-dom-re")
    limit = 400 << 20  # bytes: Python fits, PyTorch does not
    assert end_within(run, resource.RLIMIT_AS, limit) == 2
    closing = tiny.events(run)[-1]
    assert isinstance(closing, Failed)
    assert (closing.cause, "a limit of 0.4 GB is set for the process" in closing.reason) == ("out-of-memory", True)
    assert isinstance(tiny.finish(run)[-1], Finished)


def test_a_disk_that_fills_up_while_events_are_written(undisturbed: RunDirectory, tmp_path: Path) -> None:
    run, flag = tiny.make_run(tmp_path, "pgd-dom-augmix", *SLOW), tmp_path / "full"
    script = Path(__file__).with_name("trainer_on_full_disk.py")
    with run.log.open("ab") as log:
        process = subprocess.Popen([sys.executable, script, flag, run.path, "--device", "cpu"], stdout=log, stderr=log)
    while not tiny.of_kind(tiny.events(run), EpochEnd):
        assert process.poll() is None, run.log.read_text()
    before = run.events.read_bytes()
    flag.touch()
    assert process.wait(timeout=120) == 1
    assert run.events.read_bytes().startswith(before)
    shown = read_run(run)
    assert (shown.status, shown.problem) == ("failed", None)
    closing = shown.state.closing
    assert isinstance(closing, Failed)
    assert (closing.cause, "No space left on device" in closing.reason) == ("storage", True)
    assert isinstance(tiny.finish(run)[-1], Finished)
    assert tiny.lasting(run) == tiny.lasting(undisturbed)


class StopAtPass(StopFlag):
    """Is asked to stop at some look whether to stop once it trains, before a step or a pass, counted from 1."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.left = number + 2  # it looks twice before it trains

    def check(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.reason = "asked to by a test"
        super().check()


@pytest.mark.parametrize("preset", ["pgd-dom-augmix", "fgsm-dom-re", "natural-dom-re"])
def test_a_step_or_test_that_is_broken_off_between_passes_is_done_again(tmp_path: Path, preset: str) -> None:
    small = ("train.epochs=2", "train.batch_size=24", "data.train_images=48", "dom.threshold=3", "dom.warmup=0")
    whole = tiny.make_run(tmp_path, preset, *small, name="whole")
    tiny.train_here(whole)
    run, places = tiny.make_run(tmp_path, preset, *small), []
    for number in itertools.chain(range(2, 9), range(5, 100)):  # one after another: no trace may add up
        try:
            tiny.train_here(run, StopAtPass(number))
            break
        except StopRequested:
            stopped = tiny.events(run)[-1]
            assert isinstance(stopped, Stopped)
            places.append((stopped.epoch, stopped.step))
    assert places == sorted(places)
    assert len(set(places)) > 3
    assert preset == "natural-dom-re" or len(places) > len(set(places))  # several within one step
    assert tiny.lasting(run) == tiny.lasting(whole)
    weights, others = (load_file(one.checkpoint("last")) for one in (run, whole))
    assert [name for name in weights if not torch.equal(weights[name], others[name])] == []


def test_the_attack_of_a_test_is_broken_off(tmp_path: Path) -> None:
    """In the middle of a batch, of which there is but one: that it is done is not waited for."""
    run = tiny.make_run(tmp_path, "pgd-dom-re", "evaluation.steps=50", "train.epochs=1")
    training_passes = 3 * (1 + 1 + 2 + 1)  # three steps: the look before each, judgement, attack, update
    with pytest.raises(StopRequested):
        tiny.train_here(run, StopAtPass(training_passes + 20))
    stopped = tiny.events(run)[-1]
    assert isinstance(stopped, Stopped)
    assert (stopped.epoch, stopped.step) == (0, 3)
    assert tiny.of_kind(tiny.events(run), EpochEnd) == []
