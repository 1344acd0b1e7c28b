"""Which checkpoints are kept when: best, by epoch and last, in one order with the events that tell of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Literal

import msgspec

from domcli.events import CheckpointSaved, EpochEnd
from domcli.rundir import RunDirectory
from domcli.trainer import checkpoint
from domcli.trainer.background import BackgroundWriter
from domcli.trainer.snapshot import Snapshot, Snapshots
from domcli.trainer.state import Training

LAST_EVERY = 30.0
"""Least seconds between two writings of `last` while the run goes on; it is written at ends of epochs."""


class Keeper:
    """Hands over the end of every epoch to the background writer, with the checkpoints that are due.

    The order makes it harmless to be killed at any point. `best` is written before the event of its epoch, so it is
    never behind the stream; where it is ahead, that epoch is done again and so is the file. `last` is written after the
    events of its epochs, so a resume leaves none of them out; those that it does again replace what the stream said.
    """

    def __init__(
        self,
        run: RunDirectory,
        training: Training,
        writer: BackgroundWriter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._training = training
        self._writer = writer
        self._clock = clock
        self._snapshots = Snapshots(training.device)
        self._last_taken: float | None = None

    def after_epoch(self, end: EpochEnd) -> None:
        """Hand over the event of an epoch and its checkpoints; `last` if it is the first, the final one or time."""
        every = self._training.settings.checkpoint.every
        by_epoch = bool(every) and end.epoch % every == 0
        last = self._last_is_due()
        if not (end.best or by_epoch or last):
            self._writer.write(end)
            return
        snapshot = self._snapshot(whole=last)
        test = {"test": msgspec.to_builtins(end.test)}
        if end.best:
            self._writer.do(partial(checkpoint.write_weights, self._run.checkpoint("best"), snapshot, test))
        self._writer.write(end)
        if end.best:
            self._tell("best", "best", snapshot)
        if by_epoch:
            name = f"epoch-{end.epoch:04d}"
            self._writer.do(partial(checkpoint.write_weights, self._run.checkpoint(name), snapshot, test))
            self._tell("epoch", name, snapshot)
        if last:
            self._write_last(snapshot)
        self._writer.do(snapshot.release)

    def save_last(self) -> None:
        """Hand over the state as it is now, whatever was kept before."""
        snapshot = self._snapshot(whole=True)
        self._write_last(snapshot)
        self._writer.do(snapshot.release)

    def _last_is_due(self) -> bool:
        if self._last_taken is None or self._training.epoch == self._training.settings.train.epochs:
            return True
        return self._clock() - self._last_taken >= LAST_EVERY

    def _snapshot(self, *, whole: bool) -> Snapshot:
        """Take a snapshot, as soon as there is memory for it: a disk that is too slow makes the training wait."""
        self._writer.wait_until(lambda: self._snapshots.available)
        tensors = checkpoint.state_of(self._training) if whole else checkpoint.weights_of(self._training)
        return self._snapshots.take(tensors, checkpoint.about(self._training))

    def _write_last(self, snapshot: Snapshot) -> None:
        self._writer.sync()
        self._writer.do(partial(checkpoint.write_last, self._run.checkpoint("last"), snapshot))
        self._tell("last", "last", snapshot)
        self._last_taken = self._clock()

    def _tell(self, label: Literal["best", "last", "epoch"], name: str, snapshot: Snapshot) -> None:
        path = str(self._run.checkpoint(name).relative_to(self._run.path))
        step = snapshot.about["step"]
        self._writer.write(CheckpointSaved(label=label, path=path, epoch=snapshot.about["epoch"], step=step))
