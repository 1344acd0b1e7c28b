"""Which runs make whole rows of the paper's tables, what is missing of them, and how long that will take."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import tomli_w

from domcli import presets
from domcli.compare.groups import shown_value
from domcli.compare.records import flatten
from domcli.errors import SettingsError
from domcli.events import Started, Stopped
from domcli.launch.estimate import duration_of_all
from domcli.runs import Run
from domcli.runstate import RunState, Status
from domcli.settings import Settings

ROWS = ("fgsm", "natural", "pgd")
"""The paradigms, in the order in which they are run: the shortest first."""

METHODS = ("baseline", "dom-re")
SHORTENED = {"pgd": 8}
"""Rows that are shortened unless a factor is given: whole, they take too long for a program that somebody waits for."""

FEWEST_EPOCHS = 2
"""One before DOM begins and one with it."""

TINY = {"model.width": 4, "train.batch_size": 16, "attack.steps": 2, "evaluation.steps": 2}
"""What `--cpu` sets beside the epochs, which are FEWEST_EPOCHS."""

PASSES = {"none": 3.0, "fgsm": 6.0, "pgd": 4.0}
"""Passes of the network that training takes for an image; with PGD two more for every step."""

START_SECONDS = 12.0
"""About how long a trainer takes on a GPU before its first step."""

Action = Literal["run", "resume", "follow", "leave"]
ACTIONS: Mapping[Status, Action] = {
    "queued": "follow",
    "starting": "follow",
    "running": "follow",
    "stopped": "resume",
    "failed": "resume",
    "lost": "resume",
    "finished": "leave",
}
"""What is to be done about a run that is there."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for. `root` is the value of data.root; `jpeg` if the images of a given archive lie there."""

    rows: tuple[str, ...]
    seeds: tuple[int, ...]
    root: str
    jpeg: bool = False
    shorten: int | None = None
    cpu: bool = False

    @property
    def unpacked(self) -> bool:
        """Tell whether the images are a folder unpacked from an archive, a given one or that of made-up images."""
        return self.jpeg or self.cpu

    def factor(self, row: str) -> int:
        """Return by what the epochs of a row are divided."""
        return self.shorten or (1 if self.cpu else SHORTENED.get(row, 1))


@dataclass(frozen=True)
class Task:
    """A run that is asked for. Its preset's name says everything in which it is not the paper's setting."""

    row: str
    method: str
    preset: str
    settings: Settings
    whole: int
    """Epochs of the paper's setting."""

    @property
    def name(self) -> str:
        return f"{self.preset}-seed{self.settings.train.seed}"

    @property
    def epochs(self) -> int:
        return self.settings.train.epochs

    @property
    def file(self) -> str:
        """Return the text of its settings file."""
        tables = self.settings.to_dict()
        del tables["train"]["seed"]
        return f"# {self.row}-{self.method} with {self.epochs} epochs (paper: {self.whole})\n\n{tomli_w.dumps(tables)}"


def tasks(wanted: Wanted) -> list[Task]:
    """Return the runs that are asked for, row by row, in the order in which they are run."""
    return [
        _task(row, method, seed, wanted)
        for row in ROWS
        if row in wanted.rows
        for method in METHODS
        for seed in wanted.seeds
    ]


def refuse_others(task: Task, found: Mapping[str, object], where: str) -> None:
    """Raise SettingsError if a run of that name has been made with other settings."""
    own, wanted = flatten(found), flatten(task.settings.to_dict())
    # Published images are the same wherever they lie; those from an archive are told apart by their folder.
    passed = {"data.root"} if own.get("data.dataset") == "cifar10" else set()
    keys = [key for key in {**wanted, **own} if own.get(key) != wanted.get(key) and key not in passed]
    if keys:
        differ = ", ".join(f"{key} is {shown_value(own.get(key))}, not {shown_value(wanted.get(key))}" for key in keys)
        raise SettingsError(
            f"{task.name} in {where} has other settings than are asked for: {differ}; "
            "choose another --runs, or delete that run"
        )


def action(run: Run | None) -> Action:
    """Return what is to be done about a run, None if it is not there."""
    return "run" if run is None else ACTIONS[run.status]


def seconds_left(wanted: Sequence[Task], runs: Mapping[str, Run], jobs: Callable[[Task], int]) -> float | None:
    """Return about how long it takes until all are finished, None as long as no epoch of any has been timed.

    `runs` are those that are there, by name, and `jobs` says how many train at a time.
    """
    each = [(jobs(task), _seconds_left(task, wanted, runs)) for task in wanted]
    total = 0.0
    for count, together in groupby(each, key=lambda one: one[0]):
        seconds = duration_of_all([one[1] for one in together], count)
        if seconds is None:
            return None
        total += seconds
    return total


def _task(row: str, method: str, seed: int, wanted: Wanted) -> Task:
    whole = presets.resolve(f"{row}-{method}").train.epochs
    factor = wanted.factor(row)
    epochs = max(FEWEST_EPOCHS, round((FEWEST_EPOCHS if wanted.cpu else whole) / factor))
    # Checkpoints by epoch change no result, and take 45 MB each.
    changes: dict[str, object] = {"train.epochs": epochs, "train.seed": seed, "checkpoint.every": 0}
    changes["data.root"] = wanted.root
    changes |= {"data.dataset": "imagefolder"} if wanted.unpacked else {}
    changes |= TINY if wanted.cpu else {}
    marks = ["jpeg"] * wanted.jpeg + ["cpu"] * wanted.cpu + [f"short{factor}"] * (factor > 1)
    settings = presets.resolve(f"{row}-{method}", [f"{key}={json.dumps(value)}" for key, value in changes.items()])
    return Task(row, method, "-".join([row, method, *marks]), settings, whole)


def _seconds_left(task: Task, others: Sequence[Task], runs: Mapping[str, Run]) -> float | None:
    """Return how long a run still takes by itself: at its own pace, else at that of the run most like it."""
    run = runs.get(task.name)
    if run is not None and run.status == "finished":
        return 0.0
    start = 0.0 if run is not None and run.status == "running" else START_SECONDS
    own = run.state.remaining_seconds() if run is not None else None
    if own is not None:
        return own + start
    pace = epoch_seconds(task, others, runs)
    return None if pace is None else pace * task.epochs + start


def epoch_seconds(task: Task, others: Sequence[Task], runs: Mapping[str, Run]) -> float | None:
    """Return how long an epoch with its test takes, by the timed run most like it; None if none has been timed."""
    timed = [other for other in others if other.name in runs and runs[other.name].state.epochs]
    if not timed:
        return None
    like = min(timed, key=lambda other: (other.row != task.row, other.method != task.method))
    state = runs[like.name].state
    return state.seconds / state.epochs_done * _work(task.settings, state) / _work(like.settings, state)


def start_seconds(runs: Mapping[str, Run]) -> float | None:
    """Return how long the slowest start of a trainer has taken, None if none has got through it."""
    begun = [(run.process, run.started) for run in runs.values()]
    return max((started.time - trainer.launched for trainer, started in begun if trainer and started), default=None)


def position(run: Run | None) -> tuple[int, int]:
    """Return how many epochs of a run, and steps of the next, are saved, as far as its events say."""
    if run is None:
        return 0, 0
    state = run.state
    said = [one for one in (state.started, state.closing) if isinstance(one, (Started, Stopped))]
    return max([(state.epochs_done, 0), *((one.epoch, one.step) for one in said)])


def _work(settings: Settings, like: RunState) -> float:
    """Return the passes of an epoch, training and test, with as many images as another run has."""
    train, test = (like.started.train_size, like.started.test_size) if like.started else (5, 1)
    attack, evaluation = settings.attack, settings.evaluation
    training = PASSES[attack.name] + (2 * attack.steps if attack.name == "pgd" else 0)
    testing = 1.0 + (2 * evaluation.steps if evaluation.attack == "pgd" else 0) + (2 if attack.name == "fgsm" else 0)
    return training * train + testing * test
