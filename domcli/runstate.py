"""What every reader shows: a pure fold of a run's events into one frozen state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from domcli.events import (
    AnyEvent,
    CheckpointSaved,
    EpochEnd,
    Failed,
    Finished,
    Progress,
    Started,
    Stopped,
)

Status = Literal["queued", "starting", "running", "finished", "failed", "stopped", "lost"]


RECENT = 5
"""Epochs from whose pace the remaining time is told."""


@dataclass(frozen=True)
class RunState:
    """Everything the events of a run say, after a resume without the epochs that are being done again."""

    started: Started | None = None
    progress: Progress | None = None
    epochs: tuple[EpochEnd, ...] = ()
    checkpoints: tuple[CheckpointSaved, ...] = ()
    closing: Finished | Failed | Stopped | None = None
    earlier_seconds: float = 0.0
    """Time of epochs that were left out (see `condensed`)."""

    @property
    def last(self) -> EpochEnd | None:
        """The last finished epoch that was evaluated."""
        return next((epoch for epoch in reversed(self.epochs) if epoch.test is not None), None)

    @property
    def best(self) -> EpochEnd | None:
        """The best epoch so far: highest PGD test accuracy, or natural accuracy where no attack is evaluated."""
        return next((epoch for epoch in reversed(self.epochs) if epoch.best), None)

    @property
    def epochs_done(self) -> int:
        return self.epochs[-1].epoch if self.epochs else 0

    @property
    def seconds(self) -> float:
        """Training and evaluation time of the finished epochs."""
        return self.earlier_seconds + sum(map(_seconds, self.epochs))

    @property
    def diverged(self) -> bool:
        """Whether the run ended with a loss that is not finite: gone on with as it is, it does so again."""
        return isinstance(self.closing, Failed) and self.closing.cause == "non-finite-loss"

    def condensed(self) -> RunState:
        """Return a state with the best, the last evaluated and the most recent epochs alone: enough for a list."""
        wanted = {epoch.epoch for epoch in (self.best, self.last, *self.epochs[-RECENT:]) if epoch is not None}
        kept = tuple(epoch for epoch in self.epochs if epoch.epoch in wanted)
        left_out = sum(map(_seconds, self.epochs)) - sum(map(_seconds, kept))
        return replace(self, epochs=kept, earlier_seconds=self.earlier_seconds + left_out)

    def remaining_seconds(self) -> float | None:
        """Return the time the rest will take at the pace of the last epochs, or None before the first is done.

        Evaluation is spread evenly; epochs after the warm-up may be slower, which shows once the first is done.
        """
        if self.started is None or not self.epochs:
            return None
        recent = self.epochs[-RECENT:]
        pace = sum(map(_seconds, recent)) / len(recent)
        ahead = self.started.epochs - self.epochs_done - epoch_fraction(self)
        return max(0.0, ahead * pace)


def epoch_fraction(state: RunState) -> float:
    """Return how much of the training of the current epoch is done, from 0 to 1."""
    progress = state.progress
    if progress is None or progress.epoch <= state.epochs_done:
        return 0.0
    return progress.step / max(1, progress.steps) if progress.phase == "train" else 1.0


def fold(events: Iterable[AnyEvent], state: RunState | None = None) -> RunState:
    """Return the state after the events, starting from `state` (default: nothing has happened)."""
    state = state or RunState()
    started, progress, closing = state.started, state.progress, state.closing
    epochs, checkpoints = list(state.epochs), {saved.path: saved for saved in state.checkpoints}
    for event in events:
        if isinstance(event, Progress):
            progress = event
        elif isinstance(event, EpochEnd):
            epochs.append(event)
        elif isinstance(event, CheckpointSaved):
            checkpoints.pop(event.path, None)
            checkpoints[event.path] = event
        elif isinstance(event, Started):
            started, progress, closing = event, None, None
            epochs = [end for end in epochs if end.epoch <= event.epoch]
            checkpoints = {path: saved for path, saved in checkpoints.items() if saved.epoch <= event.epoch}
        else:
            closing = event
    return replace(
        state,
        started=started,
        progress=progress,
        epochs=tuple(epochs),
        checkpoints=tuple(checkpoints.values()),
        closing=closing,
    )


def headline_accuracy(epoch: EpochEnd | None) -> float | None:
    """Return the accuracy that `best` is chosen on: PGD where it is evaluated, else natural."""
    if epoch is None or epoch.test is None:
        return None
    return epoch.test.natural_accuracy if epoch.test.pgd_accuracy is None else epoch.test.pgd_accuracy


def status(
    state: RunState,
    process: Literal["alive", "gone", "elsewhere", "none"],
    launched: float = 0.0,
    *,
    first_event: int | None = None,
    queued: bool = False,
) -> Status:
    """Derive what a run is doing from its events, from whether its trainer lives, and whether it waits in the queue.

    An event before `first_event` belongs to an earlier trainer than the one that was launched last, or, where that is
    not known, one older than `launched` (seconds since 1970; clocks are set back). A process on another host cannot be
    asked and is believed to run.
    """
    if queued and process != "alive":
        return "queued"
    closed = state.closing is not None
    if state.closing is not None and (process == "none" or is_of(state.closing, launched, first_event)):
        return _closed(state.closing)
    if process in ("none", "gone"):
        return "lost"
    began = state.started is not None and is_of(state.started, launched, first_event)
    return "running" if began and not closed else "starting"


def is_of(event: AnyEvent, launched: float, first_event: int | None) -> bool:
    """Tell whether an event is of the trainer that was launched last (see `status`)."""
    return event.time >= launched if first_event is None else event.seq >= first_event


def _seconds(epoch: EpochEnd) -> float:
    return epoch.train_seconds + epoch.test_seconds


def _closed(event: Finished | Failed | Stopped) -> Status:
    if isinstance(event, Finished):
        return "finished"
    return "failed" if isinstance(event, Failed) else "stopped"
