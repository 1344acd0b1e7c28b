"""`domcli stop` and `domcli kill`: take runs out of the queue, and end their trainers gracefully or at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from domcli.cli import options, output
from domcli.errors import ProcessError

if TYPE_CHECKING:
    from domcli.process import ProcessIdentity
    from domcli.rundir import RunDirectory
    from domcli.runs import Run

MOST_SECONDS = 600.0
"""How long a stop is waited for."""
TELL_SECONDS = 5.0
"""After which it is told what is awaited, and again whenever that changes."""


def stop(
    runs: options.RunNames = None,
    states: options.States = None,
    kill_them: Annotated[
        bool, typer.Option("--kill", help="End at once, as `domcli kill`; what was done since a checkpoint is lost.")
    ] = False,
    runs_dir: options.RunsDir = None,
) -> None:
    """Ask trainers to write a checkpoint and stop, and wait until they have; take runs out of the queue."""
    from domcli.cli.selection import select_runs

    found = select_runs(runs, states, runs_dir, verb="stop")
    if kill_them:
        _kill(found)
        return
    from domcli.launch import actions

    # All are asked before any is waited for, so that they write their checkpoints at the same time.
    results = actions.stop(_meant(found))
    for result in results:
        if result.happened == "taken out of the queue":
            _tell_taken_out(result.directory)
    problems = [str(result.error) for result in results if result.error is not None]
    asked = [(result.directory, result.process) for result in results if result.process is not None]
    problems += [problem for one in asked if (problem := _wait(*one)) is not None]
    if problems:
        raise ProcessError(*problems)


def kill(runs: options.RunNames = None, states: options.States = None, runs_dir: options.RunsDir = None) -> None:
    """End trainers at once; what they did since their last checkpoints is lost. Takes runs out of the queue."""
    from domcli.cli.selection import select_runs

    _kill(select_runs(runs, states, runs_dir, verb="kill"))


def _kill(found: list[Run]) -> None:
    from domcli.launch import actions

    results = actions.kill(_meant(found))
    for result in results:
        if result.happened == "taken out of the queue":
            _tell_taken_out(result.directory)
        elif result.happened == "killed":
            _tell_ended(result.directory, "killed")
    problems = [str(result.error) for result in results if result.error is not None]
    if problems:
        raise ProcessError(*problems)


def _meant(found: list[Run]) -> list[Run]:
    """Return the runs that are queued or at work; all where none is.

    Runs that have ended are in nobody's way as long as there are others: a glob fits them, too.
    """
    from domcli.launch.rules import can

    return [run for run in found if can("stop", run)] or found


def _wait(directory: RunDirectory, identity: ProcessIdentity) -> str | None:
    """Wait for a trainer that was asked to stop; return what is wrong if it does not."""
    from domcli.launch.access import wait_stopped

    began, told = time.monotonic(), ""
    while True:
        try:
            wait_stopped(directory, identity, TELL_SECONDS)
            break
        except ProcessError:
            awaited = _awaited(directory)
        if time.monotonic() - began >= MOST_SECONDS:
            at_once = f"{options.program()} kill {options.reference(directory)}"
            return (
                f"{directory.name} was asked to stop and has not within {MOST_SECONDS / 60:.0f} minutes: {awaited}. "
                f"It stops once that is done; to end it at once: {at_once}"
            )
        if awaited != told:
            output.note(f"{directory.name} was asked to stop: {awaited} (Ctrl-C ends the waiting, not the stopping)")
            told = awaited
    _tell_ended(directory, "stopped")
    return None


def _awaited(directory: RunDirectory) -> str:
    """Return what a trainer that was asked to stop is still doing, as far as its events say so."""
    from domcli.runs import read_run

    run = read_run(directory, brief=True)
    progress = run.state.progress
    if run.started is None:
        return "its trainer is at its start, loading PyTorch and the data"
    if progress is None or progress.epoch <= run.state.epochs_done:
        place = f"in epoch {run.state.epochs_done + 1}"
    elif progress.phase == "train":
        place = f"in epoch {progress.epoch}, at step {progress.step} of {progress.steps}"
    else:
        what = "test" if progress.phase == "test" else "attack on the training set"
        place = f"in the {what} of epoch {progress.epoch}, at batch {progress.step} of {progress.steps}"
    return f"its trainer is {place}, ends what it has begun there, and then writes a checkpoint"


def _tell_taken_out(directory: RunDirectory) -> None:
    again = f"{options.program()} resume {options.reference(directory)}"
    output.note(f"{directory.name} was taken out of the queue; queue it again with: {again}")


def _tell_ended(directory: RunDirectory, how: str) -> None:
    again = f"{options.program()} resume {options.reference(directory)}"
    output.note(f"{directory.name} was {how}; go on with: {again}")
