"""Which runs a list has, in which order, and what stands below them."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domcli.cli import figures
from domcli.plural import counted

if TYPE_CHECKING:
    from domcli.runs import Run

ORDER = ("running", "starting", "queued", "failed", "lost", "stopped", "finished")
"""States, those that ask for attention first."""


class SortKey(str, Enum):
    """What the list can be sorted by: accuracies, epochs with the highest first, everything else the lowest."""

    name = "name"
    state = "state"
    best = "best"
    last = "last"
    epoch = "epoch"
    created = "created"
    eta = "eta"
    device = "device"


@dataclass(frozen=True)
class View:
    """Which runs are listed, and how."""

    runs_dir: Path
    names: Sequence[str] = ()
    states: Sequence[str] | None = None
    preset: str | None = None
    sort: SortKey = SortKey.created
    reverse: bool = False

    @property
    def whole(self) -> bool:
        """True if no run of the folder is left out."""
        return not self.names and self.states is None and self.preset is None

    def arrange(self, runs: Sequence[Run], places: Mapping[str, int]) -> list[Run]:
        """Return those of the runs that are to be listed, sorted."""
        chosen = [
            run
            for run in runs
            if (self.states is None or run.status in self.states)
            and (self.preset is None or fnmatch.fnmatchcase(run.preset or "", self.preset))
        ]
        if self.sort is not SortKey.created:
            return _sorted(chosen, _keys(places)[self.sort], self.reverse)
        return chosen[::-1] if self.reverse else chosen


def footer(runs: Sequence[Run], places: Mapping[str, int], *, whole: bool) -> str:
    """Return how many runs are doing what, and how long the queue will take if all of it is listed and timed."""
    from domcli.cli.queue_time import queue_time

    counts = Counter(run.status for run in runs)
    text = ", ".join(f"{counts[state]} {state}" for state in ORDER if counts[state])  # type: ignore[index]
    found = queue_time(runs, places) if whole else None
    if found is None:
        return text
    more = f", not counting {counted(found.unknown, 'run')} of unknown length" if found.unknown else ""
    return f"{text}; the queue is done in about {figures.duration(found.seconds)}{more}"


def _keys(places: Mapping[str, int]) -> dict[SortKey, Callable[[Run], Any]]:
    """Return what each sort key compares, None where it is not known: such runs come last."""
    from domcli.runstate import headline_accuracy

    return {
        SortKey.name: lambda run: _natural(run.directory.name),
        SortKey.state: lambda run: (ORDER.index(run.status), places.get(run.directory.name, 0)),
        SortKey.best: lambda run: _highest(run, headline_accuracy(run.state.best)),
        SortKey.last: lambda run: _highest(run, headline_accuracy(run.state.last)),
        SortKey.epoch: lambda run: -run.state.epochs_done,
        SortKey.eta: lambda run: run.state.remaining_seconds() if run.status == "running" else None,
        SortKey.device: lambda run: None if run.device is None else _natural(run.device),
    }


def _sorted(runs: Sequence[Run], key: Callable[[Run], Any], reverse: bool) -> list[Run]:
    keyed = [(key(run), run) for run in runs]
    known = sorted((pair for pair in keyed if pair[0] is not None), key=lambda pair: pair[0], reverse=reverse)
    return [run for _, run in known] + [run for value, run in keyed if value is None]


def _highest(run: Run, accuracy: float | None) -> tuple[bool, float] | None:
    """Return a key that sorts the highest first, PGD accuracies before natural ones: they cannot be compared."""
    if accuracy is None:
        return None
    evaluation = run.settings.get("evaluation")
    return isinstance(evaluation, dict) and evaluation.get("attack") == "none", -accuracy


def _natural(text: str) -> list[tuple[int, str]]:
    """Return a key that sorts seed2 before seed10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text)]
