"""A trainer that trains nothing: it writes the events of a scenario at once, without torch.

    python fake_trainer.py RUN_DIRECTORY --device DEVICE ...

The scenario stands in the file that $FAKE_SCENARIO names:
finish: all epochs; refuse: gives up during set-up; fail: gives up after an epoch; bug: dies of an exception before it
has begun, with a closing event; crash: ends after an epoch without a closing event; die: is killed after an epoch;
load: says something in the log, and waits to be stopped before it has begun; wait: trains an epoch, then waits to be
stopped; stubborn: the same, but cannot be asked to stop; slow: for looking at; brisk: all epochs in half a second.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import msgspec

from domcli.events import (
    CheckpointSaved,
    EpochEnd,
    Failed,
    Finished,
    Memorization,
    Progress,
    Started,
    Stopped,
    TestMetrics,
    TrainMetrics,
)
from domcli.process import identify
from domcli.rundir import RunDirectory
from domcli.runs import read_run
from domcli.stream import EventWriter, next_seq


def started(epochs: int, device: str, done: int) -> Started:
    return Started(
        settings_digest="0123456789abcdef",
        device=device,
        device_name="a machine",
        precision="float32",
        train_size=1000,
        test_size=200,
        classes=10,
        image_shape=(3, 32, 32),
        parameters=12345,
        epochs=epochs,
        steps_per_epoch=8,
        epoch=done,
    )


def progress(epoch: int, step: int) -> Progress:
    return Progress(
        phase="train",
        epoch=epoch,
        step=step,
        steps=8,
        images_per_second=1234.5,
        lr=0.1,
        natural_loss=1.5,
        robust_loss=2.25,
        seen=step * 125,
        high_confidence=step * 25,
        removed=step * 20,
    )


def epoch_end(epoch: int, epochs: int) -> EpochEnd:
    warm = epoch > epochs / 2
    return EpochEnd(
        epoch=epoch,
        lr=0.1,
        train=TrainMetrics(natural_loss=1.5, natural_accuracy=0.4321, robust_loss=2.25, robust_accuracy=0.3123),
        test=TestMetrics(
            natural_loss=1.4, natural_accuracy=0.5 + epoch / 100, pgd_accuracy=0.3 + (epoch % 3) / 100, pgd_loss=2.0
        ),
        train_attack=None,
        memorization=Memorization(
            threshold=1.5,
            high_confidence=200 + epoch,
            original=200 if warm else None,
            transformed=epoch if warm else None,
            entered=1,
            left=0,
            removed=150 if warm else 0,
            augmented=0,
            histogram=(100, 100, 100, 100, 100, 500),
            overlap=0.9,
        ),
        best=epoch <= 2,
        train_seconds=2.0,
        test_seconds=0.5,
        images_per_second=1234.5,
        memory=1 << 20,
    )


def train(scenario: str, run: RunDirectory, device: str) -> int:
    _say_who(run)
    epochs = run.read_settings()["train"]["epochs"]
    done = read_run(run).state.epochs_done
    writer = EventWriter(run.events)
    if scenario == "refuse":
        writer.write(Failed(cause="refused", reason="no CUDA device on this machine"))
        return 2
    if scenario == "bug":
        sys.stderr.write("Traceback: something unexpected\n")
        writer.write(Failed(cause="error", reason="KeyError: 'x' (unexpected; the traceback is in trainer.log)"))
        return 2
    if scenario == "load":
        sys.stderr.write("downloading: 10 %\rdownloading: 40 %\n")
        sys.stderr.flush()
        return end("wait", writer, 0)
    writer.write(started(epochs, "cpu" if device == "auto" else device, done))
    for epoch in range(done + 1, epochs + 1):
        for step in range(1, 9):
            writer.write(progress(epoch, step))
            time.sleep({"slow": 0.3, "brisk": 0.015}.get(scenario, 0))
        writer.write(epoch_end(epoch, epochs))
        writer.write(CheckpointSaved(label="last", path="checkpoints/last.safetensors", epoch=epoch))
        if scenario not in ("finish", "slow", "brisk"):
            return end(scenario, writer, epoch)
    writer.write(Finished(seconds=12.5))
    return 0


def _say_who(run: RunDirectory) -> None:
    """Write in process.json who trains where the supervisor was killed before it could: trainers do."""
    known, own = run.read_process(), identify()
    if own is not None and (known is None or known.pid != own.pid):
        ticket = sys.argv[sys.argv.index("--ticket") + 1]
        run.write_process(msgspec.structs.replace(own, ticket=ticket, first_event=next_seq(run.events)))


def end(scenario: str, writer: EventWriter, epoch: int) -> int:
    if scenario == "fail":
        writer.write(Failed(cause="non-finite-loss", reason="the natural loss became infinite in epoch 2, step 3"))
        return 1
    if scenario == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if scenario == "crash":
        sys.stderr.write("Segmentation fault in the third layer\n")
        return 1
    # wait and stubborn; a signal that was blocked before it came is not missed.
    signal.sigwait({signal.SIGTERM} if scenario == "wait" else {signal.SIGUSR1})
    writer.write(Stopped(reason="asked to by SIGTERM", epoch=epoch, step=0))
    return 3


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
    scenario = Path(os.environ["FAKE_SCENARIO"]).read_text()
    sys.exit(train(scenario, RunDirectory(Path(sys.argv[1])), sys.argv[sys.argv.index("--device") + 1]))
