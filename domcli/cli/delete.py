"""`domcli delete`: remove runs with everything in them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from domcli.cli import figures, options, output
from domcli.errors import ProcessError, RunDirectoryError

if TYPE_CHECKING:
    from domcli.runs import Run

MOST = 5
"""Runs that an error names."""


def delete(
    names: options.RunNames = None,
    states: options.States = None,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    runs_dir: options.RunsDir = None,
    as_json: options.Json = False,
) -> None:
    """Delete runs with their checkpoints, logs and results, after asking once; queued runs leave the queue."""
    from domcli.cli.selection import select_runs
    from domcli.launch import actions

    found = select_runs(names, states, runs_dir, verb="delete")
    _require_deletable(found)
    agreed = found if yes or (found and _agreed(found)) else []
    deleted: list[str] = []
    try:
        for run in agreed:
            (result,) = actions.delete([run])
            deleted += [run.directory.name] if result.happened == "deleted" else []
            if result.error is not None:
                raise result.error
    finally:
        if as_json:
            output.json_data(deleted)
        elif found:
            output.note(f"deleted {_count(len(deleted))}" if deleted else "nothing was deleted")


def _require_deletable(found: Sequence[Run]) -> None:
    """Raise the DomcliError of what cannot be deleted, before anything is."""
    from domcli.launch.actions import undeletable
    from domcli.launch.rules import Hindered

    refused = [(run, error) for run in found if (error := undeletable(run)) is not None]
    at_work = [run for run, error in refused if isinstance(error, Hindered)]
    if at_work:
        names = ", ".join(run.directory.name for run in at_work[:MOST]) + (" ..." if len(at_work) > MOST else "")
        references = " ".join(options.reference(run.directory) for run in at_work[:MOST])
        raise ProcessError(
            f"{names}: a trainer is at work; stop {_them(at_work)} first with: {options.program()} stop {references}"
        )
    if refused:
        raise refused[0][1]


def _agreed(found: Sequence[Run]) -> bool:
    """Show what would be deleted and ask. Raises RunDirectoryError where nobody can answer."""
    from domcli.runstate import headline_accuracy

    if not sys.stdin.isatty() or not sys.stderr.isatty():
        raise RunDirectoryError(f"there is no terminal to ask whether to delete {_count(len(found))}; add --yes")
    width = max(len(run.directory.name) for run in found)
    for run in found:
        best = headline_accuracy(run.state.best)
        accuracy = "" if best is None else f"best {figures.percent(best)} %"
        output.note(f"  {run.directory.name:<{width}}  {run.status:<8}  {accuracy}".rstrip())
    return typer.confirm(f"Delete {_count(len(found))} with everything in {_them(found)}?", err=True)


def _count(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"


def _them(found: Sequence[Run]) -> str:
    return "it" if len(found) == 1 else "them"
