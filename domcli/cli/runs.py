"""`domcli runs`: all runs of a folder, what they are doing and how well."""

from __future__ import annotations

import fnmatch
import re
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domcli import files
from domcli.cli import figures, options, output
from domcli.cli.selection import SelectionError, directories, parse_states, wake_queue
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


def runs(
    names: options.RunNames = None,
    states: options.States = None,
    preset: Annotated[
        str | None, typer.Option("--preset", metavar="GLOB", help="Only runs of presets that fit, such as 'pgd-*'.")
    ] = None,
    sort: Annotated[
        SortKey | None,
        typer.Option("--sort", help="Sort by this, the best first [default: created; with --watch state]."),
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="Sort the other way round.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing how they are; q leaves.")] = False,
    runs_dir: options.RunsDir = None,
    as_json: options.Json = False,
) -> None:
    """List the runs, oldest first, with their state, progress and accuracies."""
    folder = options.resolve_runs_dir(runs_dir)
    default = SortKey.state if watch else SortKey.created
    view = View(folder, names or (), parse_states(states), preset, sort or default, reverse)
    if watch and as_json:
        raise SelectionError("--watch draws on a terminal and --json writes once: choose one of them")
    if watch:
        from domcli.cli.runs_watch import watch_runs

        watch_runs(view)
        return
    _list(view, place=f" --runs-dir {shlex.quote(str(folder))}" if runs_dir else "", as_json=as_json)


def _list(view: View, place: str, *, as_json: bool) -> None:
    from domcli.cli.runs_table import write_runs
    from domcli.cli.summary import as_json as summary
    from domcli.finding import queue_places
    from domcli.runs import read_run

    wake_queue(view.runs_dir)
    found = [read_run(directory, brief=True) for directory in directories(view.names, view.runs_dir)]
    places = queue_places(view.runs_dir)
    shown = view.arrange(found, places)
    if as_json:
        output.json_data([summary(run, places) for run in shown])
    elif shown:
        write_runs(shown, places)
        if sys.stdout.isatty():
            output.note("")
            output.note(footer(shown, places, whole=view.whole))
    elif found:
        output.note(f"none of the {len(found)} runs in {view.runs_dir} fits")
    else:
        missing = ", which is not there" if place and not files.is_folder(view.runs_dir) else ""
        first = f"{options.program()} run pgd-dom-re --quick{place}"
        output.note(f"no runs yet in {view.runs_dir}{missing}; start one with: {first}")


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
