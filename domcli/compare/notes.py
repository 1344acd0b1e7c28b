"""What a reader must be told beside the tables: how best is chosen, what is missing, what cannot be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from domcli.compare.attacks import attack_of
from domcli.compare.groups import Group, attacks, differing_keys, measured
from domcli.compare.records import METRICS, POINTS, Record, criterion, epoch_accuracy
from domcli.compare.seeds import single_seeds

MEASURED_BY = ("attack.norm", "attack.epsilon", "evaluation.alpha", "evaluation.steps", "evaluation.restarts")
"""The settings of the evaluation attack: accuracies under different attacks are different quantities."""

SHOWN = 5
"""So many epochs are named one by one."""

MORE_SEEDS = (
    "more seeds: how many more in each group would take 0 out of the 95 % interval if the difference and the standard "
    "deviations stayed as they are (0: it is out already). With no more than that, chance decides: about every second "
    "repetition would separate the groups."
)

IMAGES = ("data.dataset", "data.test_images")


def notes(groups: Sequence[Group], at_epoch: int | None, *, unread: int, tested: bool) -> Iterator[str]:
    """Yield the notes of a comparison, how best is chosen first.

    `unread` runs belong to no group; `tested` if any test gave a p value.
    """
    yield _best_rule(groups, at_epoch)
    yield from _evaluations(groups)
    yield from _patterns(groups)
    out = unread + sum(len(group.left_out) for group in groups)
    if out:
        yield f"{out} {'run does' if out == 1 else 'runs do'} not count; each is listed with the reason."
    for group in groups:
        yield from _missing(group)
        yield from _gaps(group)
        yield from _mixed(group)
    yield from _unlike([group for group in groups if group.n], at_epoch)
    yield from single_seeds(groups, at_epoch)
    if tested:
        yield MORE_SEEDS


def _best_rule(groups: Sequence[Group], at_epoch: int | None) -> str:
    criteria = {criterion(group.settings) for group in groups}
    chosen = {
        frozenset({"pgd"}): "the highest PGD test accuracy",
        frozenset({"natural"}): "the highest natural test accuracy",
    }.get(frozenset(criteria), "the highest PGD test accuracy (natural where no attack is evaluated)")
    last = "the final one" if at_epoch is None else f"epoch {at_epoch}, and best is no later"
    return (
        f"best is the epoch of {chosen} of each run, last is {last}; diff is best - last, taken in each run and then "
        "averaged; all differences are of the unrounded numbers; ± is the sample standard deviation over n seeds "
        "(n - 1)."
    )


def _evaluations(groups: Sequence[Group]) -> Iterator[str]:
    """Say what gave the accuracies from after the training, and what was measured of other checkpoints."""
    for attack in attacks(groups).values():
        yield f"{attack.title}, after the training: domcli evaluate RUN --checkpoint best|last {attack.options}"
    for group in groups:
        found: dict[str, list[str]] = {}
        for record in group.records:
            for one in record.elsewhere:
                what = f"{attack_of(one).title} on {Path(one.plan.checkpoint).stem} (epoch {one.plan.epoch})"
                found.setdefault(what, []).append(f"{100 * one.accuracy:.2f} % accuracy in {record.name}")
        for what, accuracies in found.items():
            yield f"{group.name}: {what}, neither best nor last, is in no table: {', '.join(accuracies)}."


def _patterns(groups: Sequence[Group]) -> Iterator[str]:
    """Say what the columns of memorized patterns count."""
    ends = (record.last for group in groups for record in group.records)
    if any(end is not None and end.memorization is not None for end in ends):
        yield (
            "high-confidence: training patterns with a natural loss under dom.threshold in the last epoch; original: "
            "those of them that were so at the end of the warm-up; transformed: those that became so later."
        )


def _missing(group: Group) -> Iterator[str]:
    """Name the runs that lack an accuracy that others of their group have."""
    for metric in measured([group]):
        points: dict[tuple[str, ...], list[str]] = {}
        for point in POINTS[:2]:
            lacking = tuple(record.name for record in group.records if record.accuracy(metric, point) is None)
            if 0 < len(lacking) < group.n or (lacking and metric in METRICS):
                points.setdefault(lacking, []).append(f"{metric}.{point}")
        for lacking, names in points.items():
            left_out = "which is" if len(lacking) == 1 else "which are"
            mean = "that mean" if len(names) == 1 else "those means"
            yield f"{group.name}: no {' or '.join(names)} in {', '.join(lacking)}, {left_out} left out of {mean}."


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
