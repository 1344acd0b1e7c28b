"""What `run` and `resume` share: follow a trainer, say how it ended, and with which exit code."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

from domcli.cli import output
from domcli.cli.options import program, reference, runs_command, shown_path

if TYPE_CHECKING:
    from domcli.cli.follow import Interrupts, Outcome
    from domcli.rundir import RunDirectory

RUN_FAILED = 1
LOG_LINES = 10


def watch(run: RunDirectory, start: Callable[[], subprocess.Popen[bytes]], interrupts: Interrupts) -> Outcome:
    """Start the trainer and follow it to its end, then say on stderr what went wrong, if anything did."""
    from domcli.cli.follow import follow, make_view

    # The view comes first: settings that cannot be read are found before anything runs.
    view = make_view(run)
    outcome = follow(run, start(), view, interrupts)
    if outcome.ending == "refused":
        return outcome
    if interrupts.count:
        _tell_interrupted(outcome)
    elif outcome.ending == "stopped":
        output.note(f"{run.name} was stopped; go on with: {program()} resume {reference(run)}")
    elif outcome.ending != "finished":
        _tell_failed(outcome)
    return outcome


def exit_code(outcomes: list[Outcome], interrupts: Interrupts) -> int:
    """Return 0 if every run finished, 130 after Ctrl-C, else 1."""
    if interrupts.count:
        return interrupts.exit_code
    return 0 if all(outcome.ending == "finished" for outcome in outcomes) else RUN_FAILED


def closing_summary(outcome: Outcome) -> None:
    """Write the closing summary of a run to stdout."""
    from domcli.cli.summary import closing_lines

    output.data("\n".join(closing_lines(outcome.run)))


def tell_detached(run: RunDirectory, trainer: subprocess.Popen[bytes]) -> None:
    """Say what was started in the background, and how to look after it."""
    domcli, name = program(), reference(run)
    output.note(f"{run.name}: training in the background (process {trainer.pid})")
    all_runs = runs_command(run.path.parent)
    output.note(f"  watch it: {domcli} logs -f {name}   stop it: {domcli} stop {name}   all runs: {all_runs}")


def _tell_interrupted(outcome: Outcome) -> None:
    run = outcome.run
    if outcome.ending == "finished":
        output.note(f"{run.directory.name} finished before it could be stopped")
        return
    ended = "killed" if outcome.ending == "killed" and run.state.started else "stopped"
    output.note(f"{run.directory.name} was {ended}; go on with: {program()} resume {reference(run.directory)}")


def _tell_failed(outcome: Outcome) -> None:
    from domcli.cli.follow import log_tail

    run = outcome.run
    output.error(f"{run.directory.name}: {outcome.reason} (log: {shown_path(run.directory.log)})")
    if outcome.ending == "crashed":
        for line in log_tail(run.directory, LOG_LINES):
            output.note(f"  | {line}")
    if outcome.ending in ("killed", "crashed"):
        output.note(f"go on from the last checkpoint with: {program()} resume {reference(run.directory)}")
