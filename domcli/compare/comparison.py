"""The whole comparison: groups, what differs, whether it is real, and everything a reader must be told beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from domcli import __version__
from domcli.compare.errors import ComparisonError
from domcli.compare.groups import Group, LeftOut, differing_keys, make_groups
from domcli.compare.paper import Match, against_paper
from domcli.compare.records import METRICS, POINTS, Metric, Record, criterion, epoch_accuracy, read_record
from domcli.compare.significance import Contrast, contrasts
from domcli.rundir import RunDirectory

MEASURED_BY = ("attack.norm", "attack.epsilon", "evaluation.alpha", "evaluation.steps", "evaluation.restarts")
"""The settings of the evaluation attack: accuracies under different attacks are different quantities."""

SHOWN = 5
"""So many epochs are named one by one."""

IMAGES = ("data.dataset", "data.test_images")


@dataclass(frozen=True)
class Comparison:
    """Everything that is shown and exported. Accuracies are in percent, as test error with `error`."""

    groups: tuple[Group, ...]
    unread: tuple[LeftOut, ...]
    """Runs that belong to no group because their settings cannot be read."""
    at_epoch: int | None
    error: bool
    differing: tuple[str, ...]
    """The settings, by section.key, in which the groups are not all the same."""
    contrasts: tuple[Contrast, ...]
    paper: tuple[Match, ...] | None
    notes: tuple[str, ...]
    made: datetime

    @property
    def metrics(self) -> list[Metric]:
        """Return the accuracies that any group has."""
        return [metric for metric in METRICS if any(group.measures(metric) for group in self.groups)]

    @property
    def left_out(self) -> list[tuple[str | None, LeftOut]]:
        """Return the runs that do not count, each with the name of its group."""
        in_groups = [(group.name, one) for group in self.groups for one in group.left_out]
        return [*in_groups, *((None, one) for one in self.unread)]

    def title(self, metric: Metric) -> str:
        """Return what an accuracy is called: PGD with its steps where all groups took as many."""
        if metric == "pgd":
            steps = {group.settings.get("evaluation.steps") for group in self.groups if group.measures("pgd")}
            return f"PGD-{steps.pop()}" if len(steps) == 1 else "PGD"
        return {"natural": "natural", "one-step": "one-step", "aa": "AutoAttack"}[metric]

    @property
    def origin(self) -> str:
        """Return what made this, when, and from how many runs."""
        count = sum(group.n for group in self.groups)
        date = self.made.isoformat(timespec="seconds")
        return f"Made by domcli {__version__} on {date} from {count} run{'' if count == 1 else 's'}."


def compare(
    directories: Sequence[RunDirectory], *, at_epoch: int | None = None, error: bool = False, paper: bool = False
) -> Comparison:
    """Return the comparison of these runs, after `at_epoch` epochs where that is given.

    Raises ComparisonError if nothing can be compared.
    """
    if paper and at_epoch is not None:
        raise ComparisonError("--paper compares with the end of training: leave out --at-epoch")
    records = [read_record(directory, at_epoch) for directory in directories]
    groups = make_groups([record for record in records if record.settings])
    unread = tuple(LeftOut(record, str(record.shortfall)) for record in records if not record.settings)
    counted = [group for group in groups if group.n]
    return Comparison(
        groups=tuple(groups),
        unread=unread,
        at_epoch=at_epoch,
        error=error,
        differing=tuple(differing_keys([group.settings for group in groups])),
        contrasts=tuple(contrasts(groups, error)),
        paper=tuple(against_paper(groups, error)) if paper else None,
        notes=tuple(_notes(groups, counted, at_epoch)),
        made=datetime.now(timezone.utc),
    )


def _notes(groups: Sequence[Group], counted: Sequence[Group], at_epoch: int | None) -> Iterator[str]:
    yield _best_rule(groups, at_epoch)
    out = sum(len(group.left_out) for group in groups)
    if out:
        yield f"{out} {'run does' if out == 1 else 'runs do'} not count; each is listed with the reason."
    for group in groups:
        yield from _missing(group)
        yield from _gaps(group)
        yield from _mixed(group)
    yield from _unlike(counted, at_epoch)


def _best_rule(groups: Sequence[Group], at_epoch: int | None) -> str:
    criteria = {criterion(group.settings) for group in groups}
    chosen = {
        frozenset({"pgd"}): "the highest PGD test accuracy",
        frozenset({"natural"}): "the highest natural test accuracy",
    }.get(frozenset(criteria), "the highest PGD test accuracy (natural where no attack is evaluated)")
    last = "the final one" if at_epoch is None else f"epoch {at_epoch}, and best is no later"
    return (
        f"best is the epoch of {chosen} of each run, last is {last}; diff is best - last, taken in each run and then "
        "averaged; ± is the sample standard deviation over n seeds (n - 1)."
    )


def _missing(group: Group) -> Iterator[str]:
    """Name the runs that lack an accuracy that others of their group have."""
    for metric in METRICS:
        if not group.measures(metric):
            continue
        for point in POINTS[:2]:
            lacking = [record.name for record in group.records if record.accuracy(metric, point) is None]
            if lacking:
                yield f"{group.name}: no {metric}.{point} in {', '.join(lacking)}, which is left out of that mean."


def _gaps(group: Group) -> Iterator[str]:
    """Name the evaluated epochs that lack the accuracy best is chosen on."""
    metric = criterion(group.settings)
    for record in group.records:
        evaluated = (end for end in record.run.state.epochs if end.test is not None)
        gaps = [str(end.epoch) for end in evaluated if epoch_accuracy(end, metric) is None]
        if gaps:
            yield (
                f"{record.name}: no {metric} accuracy in epoch {', '.join(gaps[:SHOWN])}"
                f"{' and others' if len(gaps) > SHOWN else ''}; its best is chosen among the rest."
            )


def _mixed(group: Group) -> Iterator[str]:
    """Name what runs of one group do not share though their settings are the same."""
    shared: tuple[tuple[str, Callable[[Record], object]], ...] = (
        ("precision", lambda record: record.run.state.started and record.run.state.started.precision),
        ("device", lambda record: record.run.state.started and record.run.state.started.device_name),
        ("domcli version", lambda record: record.environment.get("domcli")),
        ("size of the test set", lambda record: record.run.state.started and record.run.state.started.test_size),
    )
    for what, of in shared:
        found = {record.name: str(of(record)) for record in group.records}
        if len(set(found.values())) > 1:
            listed = ", ".join(f"{value} ({name})" for name, value in found.items())
            yield f"{group.name}: its runs are not of the same {what}: {listed}."


def _unlike(groups: Sequence[Group], at_epoch: int | None) -> Iterator[str]:
    """Name what makes the numbers of groups different quantities."""
    ends = {group.name: group.records[0].last.epoch for group in groups if group.records[0].last is not None}
    if at_epoch is None and len(set(ends.values())) > 1:
        listed = ", ".join(f"{epoch} in {name}" for name, epoch in ends.items())
        yield (
            f"The last epoch is {listed}; --at-epoch {min(ends.values())} compares after as many epochs "
            "(learning rates still follow each run's own length)."
        )
    attacked = [group.settings for group in groups if group.measures("pgd")]
    unequal = [key for key in MEASURED_BY if key in differing_keys(attacked)] if attacked else []
    if unequal:
        yield f"PGD accuracies are under different attacks ({', '.join(unequal)}) and cannot be compared."
    images = [key for key in IMAGES if groups and key in differing_keys([group.settings for group in groups])]
    if images:
        yield f"Accuracies are on different test images ({', '.join(images)})."
