"""Which runs a command is about: by name, beginning, path or glob, and by what they are doing."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from domcli.cli import options, output
from domcli.errors import DomcliError
from domcli.plural import either
from domcli.printable import quoted

if TYPE_CHECKING:
    from domcli.rundir import RunDirectory
    from domcli.runs import Run


USUAL_STATES = {"resume": "stopped", "delete": "failed", "follow": "running"}
"""A state that makes sense as an example."""


class SelectionError(DomcliError):
    """It is not said, or not understood, which runs are meant."""


def select_runs(
    names: Sequence[str] | None, states: Sequence[str] | None, runs_dir: Path | None, *, verb: str
) -> list[Run]:
    """Return brief snapshots of the runs that are named and are in one of the states.

    Without names it is all runs in these states, oldest first; says so on stderr if there are none. Raises
    SelectionError for an unknown state and if there are neither names nor states (`verb` says what for), else
    RunDirectoryError as `finding.select`.
    """
    from domcli.runs import read_run

    wanted = parse_states(states)
    if not names and wanted is None:
        usual = USUAL_STATES.get(verb, "running")
        raise SelectionError(f"name the runs to {verb}, or choose them by what they are doing, as with --state {usual}")
    folder = options.resolve_runs_dir(runs_dir)
    runs = [read_run(directory, brief=True) for directory in directories(names, folder)]
    if wanted is None:
        return runs
    fitting = [run for run in runs if run.status in wanted]
    if not fitting:
        output.note(f"no run {'of these ' if names else f'in {folder} '}is {either(wanted)}")
    return fitting


def directories(names: Sequence[str] | None, runs_dir: Path) -> list[RunDirectory]:
    """Return the runs that are named, all of the folder if none is. Raises RunDirectoryError as `finding.select`."""
    from domcli import finding

    return finding.select(runs_dir, names) if names else finding.list_runs(runs_dir)


def parse_states(states: Sequence[str] | None) -> list[str] | None:
    """Return the states of `--state`, each once, None if there are none. Raises SelectionError for one that is none."""
    if not states:
        return None
    known = options.states()
    parts = [part.strip() for entry in states for part in entry.split(",")]
    for part in parts:
        if part not in known:
            nearest = difflib.get_close_matches(part, known, 1)
            hint = f"did you mean {nearest[0]}?" if nearest else f"it must be one or more of {', '.join(known)}"
            raise SelectionError(f"unknown state {quoted(part)} for --state; {hint}")
    return list(dict.fromkeys(parts))


def wake_queue(runs_dir: Path) -> None:
    """See to it that the queue goes on if its supervisor was killed; looking must work where nothing can be written."""
    import contextlib

    from domcli.launch import queue

    with contextlib.suppress(DomcliError, OSError):
        queue.wake(runs_dir)
