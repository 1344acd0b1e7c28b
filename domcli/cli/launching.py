"""What the commands that launch share: their options, following what was queued, and the exit code that tells of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domcli import files
from domcli.catalogue.references import split
from domcli.cli import output
from domcli.cli.options import program, reference, runs_command, shown_path

if TYPE_CHECKING:
    from domcli.cli.follow import Outcome
    from domcli.cli.interrupts import Interrupts
    from domcli.rundir import RunDirectory
    from domcli.settings import Settings

RUN_FAILED = 1
REFUSED = 2
LOG_LINES = 10
JOBS_PER_GPU = "--jobs-per-gpu"
FEW = 3
"""Of more stopped runs than this, a single line tells."""

MOST_NAMED = 20
"""Runs that are named one by one."""

Devices = Annotated[
    str,
    typer.Option(
        "--devices",
        "--device",
        metavar="DEVICES",
        help="Where to train: auto, cpu, cuda (any GPU), or GPUs such as cuda:0,cuda:2.",
    ),
]
JobsPerGpu = Annotated[
    str,
    typer.Option(
        JOBS_PER_GPU,
        metavar="N|auto",
        help="How many may train on a device at a time (on the CPU, too); auto: as many as are best by "
        "`domcli bench --together`, or one where that has not been measured.",
    ),
]
MaxRetries = Annotated[
    int,
    typer.Option(
        "--max-retries", metavar="N", min=0, help="Resume a run that failed or crashed by itself, N times at the most."
    ),
]


def warn_of(experiments: Iterable[Settings]) -> None:
    """Say what of these settings is probably not meant, each thing once; and whose code their trainers will run."""
    experiments = list(experiments)
    added = dict.fromkeys(split(one)[0] for settings in experiments for one in settings.extensions)
    if added:
        output.note(f"the trainer runs the code of {', '.join(shown_path(Path(path)) for path in added)}")
    for doubt in dict.fromkeys(doubt for settings in experiments for doubt in settings.doubts()):
        output.warning(doubt)


def watch(runs: Sequence[RunDirectory], interrupts: Interrupts) -> list[Outcome]:
    """Follow runs to their end, then say on stderr what went wrong, if anything did."""
    from domcli.cli.follow import follow, make_view
    from domcli.cli.interrupts import Onlooker

    outcomes = follow(runs, make_view(runs, looking=isinstance(interrupts, Onlooker)), interrupts)
    if interrupts.leave:
        tell_detached([outcome.run.directory for outcome in outcomes if outcome.ending == "left"])
        return outcomes
    stopped = [one for one in outcomes if one.ending == "stopped" or (interrupts.count and one.ending == "killed")]
    if len(stopped) > FEW:
        names = " ".join(reference(outcome.run.directory) for outcome in stopped)
        output.note(f"{len(stopped)} runs were stopped; go on with: {program()} resume {names}")
    for outcome in outcomes:
        if outcome in stopped:
            if len(stopped) <= FEW:
                _tell_stopped(outcome)
        elif outcome.ending in ("failed", "killed", "crashed"):
            _tell_failed(outcome)
        elif outcome.ending == "withdrawn":
            name, status = outcome.run.directory.name, outcome.run.status
            output.note(f"{name} was taken out of the queue; it is {status}, as before")
        elif outcome.ending == "finished" and interrupts.count and len(outcomes) == 1:
            output.note(f"{outcome.run.directory.name} finished before it could be stopped")
    return outcomes


def conclude(outcomes: list[Outcome], interrupts: Interrupts, *, as_json: bool) -> typer.Exit:
    """Write the summary of the runs to stdout and return the exit that tells how they went."""
    from domcli.cli.runs_table import write_runs
    from domcli.cli.summary import as_json as summary
    from domcli.cli.summary import closing_lines

    runs = [outcome.run for outcome in outcomes]
    if as_json:
        output.json_data([summary(run) for run in runs])
    elif len(runs) == 1:
        output.lines(closing_lines(runs[0]))
    elif runs:
        write_runs(runs)
    return typer.Exit(_exit_code(outcomes, interrupts))


def tell_detached(runs: Sequence[RunDirectory]) -> None:
    """Say that runs go on in the background, and how to look after them."""
    if not runs:
        return
    domcli = program()
    all_runs = runs_command(runs[0].path.parent)
    if len(runs) > 1:
        output.note(f"{len(runs)} runs go on in the background: {_named(runs)}")
        one = reference(runs[0])
        output.note(f"  all runs: {all_runs}   follow one: {domcli} follow {one}   stop one: {domcli} stop {one}")
        return
    name = reference(runs[0])
    output.note(f"{runs[0].name} goes on in the background")
    output.note(f"  follow it: {domcli} follow {name}   stop it: {domcli} stop {name}   all runs: {all_runs}")


def _named(runs: Sequence[RunDirectory]) -> str:
    """Return the names of runs, of many only the first and the last."""
    names = [run.name for run in runs]
    return ", ".join(names if len(names) <= MOST_NAMED else [*names[: MOST_NAMED - 1], f"... {names[-1]}"])


def folders_to_make(folder: Path) -> list[Path]:
    """Return which folders are not there yet, the innermost first."""
    return [one for one in (folder, *folder.parents) if not files.exists(one)]


def _exit_code(outcomes: list[Outcome], interrupts: Interrupts) -> int:
    """Return 0 if every run finished or was left at work, 130 after Ctrl-C, 2 if all were refused, else 1."""
    if interrupts.count:
        return interrupts.exit_code
    if all(outcome.ending in ("finished", "left") for outcome in outcomes):
        return 0
    return REFUSED if all(outcome.ending == "refused" for outcome in outcomes) else RUN_FAILED


def _tell_stopped(outcome: Outcome) -> None:
    run = outcome.run
    ended = "killed" if outcome.ending == "killed" and run.state.started else "stopped"
    output.note(f"{run.directory.name} was {ended}; go on with: {program()} resume {reference(run.directory)}")


def _tell_failed(outcome: Outcome) -> None:
    from domcli.cli.at_work import log_tail

    run = outcome.run
    output.error(f"{run.directory.name}: {outcome.reason} (log: {shown_path(run.directory.log)})")
    if outcome.ending == "crashed":
        for line in log_tail(run.directory, LOG_LINES):
            output.note(f"  | {line}")
    if outcome.ending in ("killed", "crashed"):
        output.note(f"go on from the last checkpoint with: {program()} resume {reference(run.directory)}")
