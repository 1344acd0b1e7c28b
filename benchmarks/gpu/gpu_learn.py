"""Short real training through the command line, three runs at a time. Found: how each was computed, and its epochs.

The presets' thresholds are for a hundred epochs and more: after a few, most patterns would be under them, and hardly
any be trained on. So the threshold is a lower one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import images
from stage_report import Place, Report
from stage_runs import accuracies, begin, between_epochs, facts, overrides, problems_of, shown, tested

from domcli.rundir import RunDirectory
from domcli.runs import read_run

THRESHOLD = "dom.threshold=0.5"
MADE, FEW_MADE = (6000, 1000), (64, 20)
TINY = (
    *("data.train_images=64", "data.test_images=20", "model.width=4", "train.batch_size=32", "train.precision=float32"),
    *("attack.steps=2", "evaluation.steps=2"),
)


@dataclass(frozen=True)
class Wanted:
    """A run, its epochs on CIFAR-10 and on other images, and the least accuracies on CIFAR-10."""

    preset: str
    epochs: int
    epochs_of_others: int
    natural: float
    pgd: float | None


RUNS = (
    Wanted("pgd-dom-re", 4, 8, 0.40, 0.22),
    Wanted("fgsm-dom-re", 5, 8, 0.40, 0.22),
    Wanted("natural-dom-re", 6, 8, 0.65, None),
)
NATURAL_OF_OTHERS, PGD_OF_OTHERS = 0.3, 0.2
"""Least accuracies on other images, of ten classes: far above chance."""


def run(place: Place, report: Report) -> None:
    """Train, and look at the curves."""
    folder = place.work / "images"
    if place.images is not None:
        images.unpack(place.images, folder)
    else:
        images.make(folder, *(FEW_MADE if place.cpu else MADE))
    known = images.is_cifar10(folder)
    wanted = RUNS[:1] if place.cpu else RUNS
    commands = [_command(one, place, folder, one.epochs if known else one.epochs_of_others) for one in wanted]
    started = [begin(place.work / "runs", *command) for command in commands]
    for one, process in zip(wanted, started, strict=True):
        code = process.wait()
        report.expect(code == 0, f"domcli run {one.preset} ended with exit code {code}")
        directory = RunDirectory(place.work / "runs" / one.preset)
        if directory.path.is_dir():
            _look_at(one, directory, place, report, known=known)


def _command(wanted: Wanted, place: Place, folder: Path, epochs: int) -> list[str]:
    epochs = 2 if place.cpu else epochs
    settings = ["data.dataset=imagefolder", f"data.root={folder}", f"train.epochs={epochs}", THRESHOLD]
    settings += [f"evaluation.every={epochs}", "checkpoint.every=0", *(TINY if place.cpu else ())]
    names = ["--name", wanted.preset, "--device", place.device, "--jobs-per-gpu", str(len(RUNS))]
    return [wanted.preset, *names, *overrides(settings)]


def _look_at(wanted: Wanted, run: RunDirectory, place: Place, report: Report, *, known: bool) -> None:
    for problem in problems_of(run, place.device):
        report.expect(False, problem)
    state = read_run(run).state
    found = accuracies(state)
    losses = [end.train.natural_loss for end in state.epochs if end.train.natural_loss is not None]
    report.keep(run.name, {**facts(run), "between_epochs_s": between_epochs(state)})
    curve = " ".join(f"{loss:.2f}" for loss in losses)
    report.line(f"{run.name:15} {len(losses)} epochs: {tested(run)}; training loss {curve}")
    if place.cpu:
        report.expect(found["natural"] is not None, f"{run.name} was not tested")
        return
    report.expect(len(losses) > 1 and losses[-1] < losses[0], f"{run.name}: the training loss does not fall: {curve}")
    least = {"natural": wanted.natural, "pgd": wanted.pgd}
    if not known:
        least = {"natural": NATURAL_OF_OTHERS, "pgd": None if wanted.pgd is None else PGD_OF_OTHERS}
    for kind, floor in least.items():
        value = found[kind]
        if floor is not None:
            holds = value is not None and value >= floor
            report.expect(holds, f"{run.name}: {kind} accuracy {shown(value)}, under {shown(floor)}")
