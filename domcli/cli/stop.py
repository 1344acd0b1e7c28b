"""`domcli stop` and `domcli kill`: take runs out of the queue, and end their trainers gracefully or at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from domcli.cli import options, output
from domcli.errors import DomcliError, ProcessError

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
        _end_each(found, _kill)
        return
    # All are asked before any is waited for, so that they write their checkpoints at the same time.
    asked: dict[str, ProcessIdentity] = {}
    _end_each(found, lambda directory: _ask(directory, asked), lambda directory: _wait(directory, asked))


def kill(runs: options.RunNames = None, states: options.States = None, runs_dir: options.RunsDir = None) -> None:
    """End trainers at once; what they did since their last checkpoints is lost. Takes runs out of the queue."""
    from domcli.cli.selection import select_runs

    _end_each(select_runs(runs, states, runs_dir, verb="kill"), _kill)


def _end_each(found: list[Run], *steps: Callable[[RunDirectory], None]) -> None:
    """Take every run that is queued or at work through the steps, then raise what stood in the way of any.

    Runs that have ended are in nobody's way as long as there are others: a glob fits them, too.
    """
    from domcli.cli.follow import AT_WORK

    # What waits is taken out first: it would begin as soon as another run ends.
    waiting = [run.directory for run in found if run.status == "queued"]
    live = waiting + [run.directory for run in found if run.status in AT_WORK and run.status != "queued"]
    chosen = live or [run.directory for run in found]
    problems = [problem for step in steps for directory in chosen if (problem := _problem_of(step, directory))]
    if problems:
        raise ProcessError(*problems)


def _problem_of(end: Callable[[RunDirectory], None], directory: RunDirectory) -> str | None:
    try:
        end(directory)
    except DomcliError as error:
        return str(error)
    return None


def _ask(directory: RunDirectory, asked: dict[str, ProcessIdentity]) -> None:
    from domcli.launch import control, queue

    identity = queue.request_end(directory, control.request_stop)
    if identity is None:
        _tell_taken_out(directory)
    else:
        asked[str(directory.path)] = identity


def _wait(directory: RunDirectory, asked: dict[str, ProcessIdentity]) -> None:
    from domcli.launch import control

    identity = asked.get(str(directory.path))
    if identity is None:
        return
    began, told = time.monotonic(), ""
    while True:
        try:
            control.wait_stopped(directory, identity, TELL_SECONDS)
            break
        except ProcessError:
            awaited = _awaited(directory)
        if time.monotonic() - began >= MOST_SECONDS:
            at_once = f"{options.program()} kill {options.reference(directory)}"
            raise ProcessError(
                f"{directory.name} was asked to stop and has not within {MOST_SECONDS / 60:.0f} minutes: {awaited}. "
                f"It stops once that is done; to end it at once: {at_once}"
            )
        if awaited != told:
            output.note(f"{directory.name} was asked to stop: {awaited} (Ctrl-C ends the waiting, not the stopping)")
            told = awaited
    _tell_ended(directory, "stopped")


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


def _kill(directory: RunDirectory) -> None:
    from domcli.launch import control, queue

    if queue.request_end(directory, control.kill) is None:
        _tell_taken_out(directory)
    else:
        _tell_ended(directory, "killed")


def _tell_taken_out(directory: RunDirectory) -> None:
    again = f"{options.program()} resume {options.reference(directory)}"
    output.note(f"{directory.name} was taken out of the queue; queue it again with: {again}")


def _tell_ended(directory: RunDirectory, how: str) -> None:
    again = f"{options.program()} resume {options.reference(directory)}"
    output.note(f"{directory.name} was {how}; go on with: {again}")
