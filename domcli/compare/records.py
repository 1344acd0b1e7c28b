"""One run as a comparison sees it: its settings, its best and last epoch, and why it may not count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from domcli import evaluations
from domcli.compare.attacks import Attack, attack_of
from domcli.errors import RunDirectoryError
from domcli.events import EpochEnd, Failed, Finished
from domcli.rundir import RunDirectory
from domcli.runs import Run, read_run

Metric = str
"""A test accuracy: one of METRICS, or that of an attack of `domcli evaluate` (see `Attack.metric`)."""

Point = Literal["best", "last", "diff"]
Flat = Mapping[str, Any]

METRICS: tuple[Metric, ...] = ("natural", "pgd", "one-step")
"""Test accuracies of every epoch: natural, under PGD, under the one-step attack."""

POINTS: tuple[Point, ...] = ("best", "last", "diff")
"""Where they are taken: at the run's best epoch, at its last, and the first minus the second (the paper's Diff)."""

FIELDS = {"natural": "natural_accuracy", "pgd": "pgd_accuracy", "one-step": "one_step_accuracy"}

AT_WORK = ("queued", "starting", "running")


@dataclass(frozen=True)
class Record:
    """One run. `settings` are by `section.key`; `shortfall` says in words why it must not count, None if it may."""

    run: Run
    settings: Flat
    environment: Mapping[str, Any]
    best: EpochEnd | None = None
    """The best epoch by the run's own criterion; None where no accuracy was above 0."""
    last: EpochEnd | None = None
    """The final epoch, whether or not it was evaluated."""
    shortfall: str | None = None
    attacks: Mapping[Metric, Attack] = field(default_factory=dict)
    """The attacks of `domcli evaluate` on its best or last checkpoint."""
    evaluated: Mapping[Metric, Mapping[Point, float]] = field(default_factory=dict)
    """The accuracies that they left at best and at last, as fractions."""
    elsewhere: tuple[evaluations.Evaluation, ...] = ()
    """Evaluations of other checkpoints than the best and the last."""

    @property
    def name(self) -> str:
        return self.run.directory.name

    @property
    def seed(self) -> int | None:
        seed = self.settings.get("train.seed")
        return seed if isinstance(seed, int) else None

    @property
    def seconds(self) -> float:
        """Training and evaluation time up to the last epoch that counts."""
        closing = self.run.state.closing
        epochs = self.run.state.epochs
        if isinstance(closing, Finished) and epochs and self.last is epochs[-1]:
            return closing.seconds
        until = self.last.epoch if self.last else 0
        return sum(epoch.train_seconds + epoch.test_seconds for epoch in epochs if epoch.epoch <= until)

    def accuracy(self, metric: Metric, point: Point) -> float | None:
        """Return a test accuracy in percent (diff: best minus last, in points), None where it was not measured."""
        if point == "diff":
            best, last = self.accuracy(metric, "best"), self.accuracy(metric, "last")
            return None if best is None or last is None else best - last
        if metric in FIELDS:
            fraction = epoch_accuracy(self.best if point == "best" else self.last, metric)
        else:
            fraction = self.evaluated.get(metric, {}).get(point)
        return None if fraction is None else 100 * fraction


def read_record(directory: RunDirectory, at_epoch: int | None = None) -> Record:
    """Return a run, as it was after `at_epoch` epochs (from 1) if that is given. What is wrong is in `shortfall`."""
    run = read_run(directory)
    try:
        settings = flatten(directory.read_settings())
    except RunDirectoryError as error:
        return Record(run, {}, directory.read_environment(), shortfall=str(error))
    epochs = [epoch for epoch in run.state.epochs if at_epoch is None or epoch.epoch <= at_epoch]
    record = Record(
        run,
        settings,
        directory.read_environment(),
        best=_best(epochs, criterion(settings)),
        last=epochs[-1] if epochs else None,
        shortfall=_shortfall(run, settings.get("train.epochs"), at_epoch),
    )
    found = evaluations.read_all(directory)
    return _evaluated(record, found) if found else record


def criterion(settings: Flat) -> Metric:
    """Return the accuracy that a run with these settings chooses its best epoch on."""
    return "pgd" if settings.get("evaluation.attack") == "pgd" else "natural"


def epoch_accuracy(epoch: EpochEnd | None, metric: Metric) -> float | None:
    """Return a test accuracy of an epoch as a fraction, None where it was not measured."""
    field_name = FIELDS.get(metric)
    return None if epoch is None or field_name is None else getattr(epoch.test, field_name, None)


def flatten(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of all tables as `section.key`."""
    flat: dict[str, Any] = {}
    for section, table in tables.items():
        if isinstance(table, Mapping):
            flat.update({f"{section}.{key}": value for key, value in table.items()})
        else:
            flat[section] = table
    return flat


def _best(epochs: Sequence[EpochEnd], metric: Metric) -> EpochEnd | None:
    """Return the first epoch with the highest accuracy above 0, as the trainer chooses its checkpoint.

    The trainer's own marks are not asked: where an accuracy is missing they would compare it with another quantity.
    """
    best, highest = None, 0.0
    for epoch in epochs:
        accuracy = epoch_accuracy(epoch, metric)
        if accuracy is not None and accuracy > highest:
            best, highest = epoch, accuracy
    return best


def _evaluated(record: Record, found: Sequence[evaluations.Evaluation]) -> Record:
    """Return the record with what attacks found of the weights of its best and last epoch.

    Which weights those were, their epoch says: `best` and `last` may be the same, and go on with the training. Of
    several evaluations of the same weights by the same attack, the latest counts.
    """
    attacks: dict[Metric, Attack] = {}
    accuracies: dict[Metric, dict[Point, float]] = {}
    elsewhere = []
    ends: dict[Point, EpochEnd | None] = {"best": record.best, "last": record.last}
    for one in found:
        points = [point for point, end in ends.items() if end and end.epoch == one.plan.epoch and not one.plan.step]
        if not points:
            elsewhere.append(one)
            continue
        attack = attack_of(one)
        attacks[attack.metric] = attack
        accuracies.setdefault(attack.metric, {}).update(dict.fromkeys(points, one.accuracy))
    return replace(record, attacks=attacks, evaluated=accuracies, elsewhere=tuple(elsewhere))


def _shortfall(run: Run, epochs: int | None, at_epoch: int | None) -> str | None:
    state, done = run.state, run.state.epochs_done
    if run.problem is not None:
        return run.problem
    missing = next((number for number, end in enumerate(state.epochs, start=1) if end.epoch != number), None)
    if missing is not None:
        return f"epoch {missing} is missing from its record"
    if at_epoch is not None:
        return None if done >= at_epoch else f"{_so_far(run, epochs)}, and {at_epoch} are asked for"
    if run.status != "finished":
        reason = f": {state.closing.reason}" if isinstance(state.closing, Failed) else ""
        return f"{_so_far(run, epochs)}{reason}"
    return None if done == epochs else f"finished after {done} epochs, where its settings say {epochs}"


def _so_far(run: Run, epochs: int | None) -> str:
    """Return what a run is doing and how far it is."""
    done = f"{run.state.epochs_done} of {epochs or '?'} epochs"
    return f"{run.status}, {done} done" if run.status in AT_WORK else f"{run.status} after {done}"
