"""`domcli resume` and `domcli retry`: go on with runs from their last checkpoints; `domcli follow`: look on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from domcli.cli import launching, options, output
from domcli.errors import DomcliError, ProcessError
from domcli.plural import counted

if TYPE_CHECKING:
    from domcli.cli.interrupts import Interrupts
    from domcli.launch.actions import Result
    from domcli.rundir import RunDirectory
    from domcli.runs import Run


def resume(
    runs: options.RunNames = None,
    states: options.States = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs", metavar="N", min=1, help="Train to epoch N; beyond the schedule at its last learning rate."
        ),
    ] = None,
    detach: options.Detach = False,
    devices: launching.Devices = "auto",
    jobs_per_gpu: launching.JobsPerGpu = "auto",
    max_retries: launching.MaxRetries = 0,
    runs_dir: options.RunsDir = None,
    as_json: options.Json = False,
) -> None:
    """Go on with runs that were stopped, failed or were lost, from their last checkpoints, as `domcli run` does.

    With --epochs finished runs go on, too. What has been computed stays what it is: the schedule and the warm-up keep
    the epochs that they span, and epochs after them are trained at the last learning rate. Beyond a cyclical schedule
    that is 0, so there it is refused.
    """
    from domcli.cli.selection import select_runs
    from domcli.launch import actions
    from domcli.launch.terms import Terms

    found = select_runs(runs, states, runs_dir, verb="resume")
    if epochs is not None:
        _require_extensible(found, epochs)
    for run in found:
        if run.status == "failed" and run.state.diverged:
            output.warning(f"{run.directory.name} diverged; gone on with on the same kind of device, it does so again")
    terms = Terms(devices=devices, jobs=jobs_per_gpu, retries=str(max_retries))
    results = actions.resume(found, terms, "resume" if epochs is None else "extend", epochs)
    _conclude(results, detach=detach, as_json=as_json)


def retry(
    runs: options.RunNames = None,
    detach: options.Detach = False,
    devices: launching.Devices = "auto",
    jobs_per_gpu: launching.JobsPerGpu = "auto",
    max_retries: launching.MaxRetries = 0,
    runs_dir: options.RunsDir = None,
    as_json: options.Json = False,
) -> None:
    """Resume failed and lost runs: all of them, or those among the runs that are named."""
    from domcli.cli.selection import select_runs
    from domcli.launch import actions, rules
    from domcli.launch.terms import Terms

    found = select_runs(runs, list(rules.FAILED), runs_dir, verb="retry")
    terms = Terms(devices=devices, jobs=jobs_per_gpu, retries=str(max_retries))
    _conclude(actions.resume(found, terms, "retry"), detach=detach, as_json=as_json)


def follow(
    runs: options.RunNames = None,
    states: options.States = None,
    runs_dir: options.RunsDir = None,
    as_json: options.Json = False,
) -> None:
    """Follow runs that are queued or at work (default: all of them) with their progress.

    It only looks on: Ctrl-C leaves and touches nothing, `domcli stop` stops.
    """
    from domcli.cli.interrupts import Onlooker
    from domcli.cli.selection import select_runs
    from domcli.launch.rules import AT_WORK

    found = select_runs(runs, states or ([] if runs else list(AT_WORK)), runs_dir, verb="follow")
    _follow(_readable(found), Onlooker(), as_json=as_json)


def _require_extensible(found: list[Run], epochs: int) -> None:
    """Say how runs will go on to another number of epochs; nothing is changed before they are launched.

    Raises the DomcliError of the first that cannot.
    """
    from domcli.launch.extend import extended
    from domcli.launch.rules import Hindered, hindrance

    spans = {}
    for run in found:
        why = hindrance("extend", run)
        if why is not None and why != "unreadable":  # of that there is more to tell below
            raise ProcessError(_worded(Hindered(run, why)))
        run.directory.require_own("resume")
        spans[run.directory.name] = extended(run, epochs).train.span
    for name, span in spans.items():
        if epochs > span:
            output.note(
                f"{name}: after {counted(span, 'epoch')} its schedule has ended, and it goes on to epoch {epochs} at "
                "the last learning rate"
            )


def _conclude(results: list[Result], *, detach: bool, as_json: bool) -> None:
    """Say which runs are left out, and follow those that were queued. Raises DomcliError if none was."""
    from domcli.cli.interrupts import Interrupts
    from domcli.cli.summary import as_json as summary
    from domcli.runs import read_run

    directories = [result.directory for result in results if result.happened == "queued"]
    _tell_left_out([result.error for result in results if result.error is not None], whole=not directories)
    if not detach:
        _follow(directories, Interrupts(), as_json=as_json)
    elif directories:
        launching.tell_detached(directories)
        if as_json:
            output.json_data([summary(read_run(directory)) for directory in directories])


def _readable(found: list[Run]) -> list[RunDirectory]:
    """Return the runs that can be shown as they go on, and say which cannot. Raises DomcliError if none can."""
    problems = {run.directory: _problem_of(run) for run in found}
    readable = [directory for directory, problem in problems.items() if problem is None]
    _tell_left_out([problem for problem in problems.values() if problem is not None], whole=not readable)
    return readable


def _problem_of(run: Run) -> DomcliError | None:
    """Return why the settings of a run cannot be read."""
    from domcli.presets import from_run

    try:
        from_run(run.directory)
    except DomcliError as error:
        return error
    return None


def _tell_left_out(refused: list[DomcliError], *, whole: bool) -> None:
    """Say which runs are left out and why. Raises DomcliError if it is all of them."""
    sentences = [why for error in refused for why in _worded(error).split("\n")]
    if whole and sentences:
        raise DomcliError(*sentences)
    for why in sentences:
        output.note(f"left out: {why}")


def _worded(error: DomcliError) -> str:
    """Return what is wrong, with what can be typed instead."""
    from domcli.launch.rules import Hindered

    if isinstance(error, Hindered) and error.why == "complete":
        return f"{error}; --epochs N trains it on to epoch N"
    if isinstance(error, Hindered) and error.why == "at work":
        return f"{error}, or look on with {options.program()} follow"
    return str(error)


def _follow(directories: list[RunDirectory], interrupts: Interrupts, *, as_json: bool) -> None:
    if not directories:
        return
    with interrupts:
        outcomes = launching.watch(directories, interrupts)
    refused = [outcome for outcome in outcomes if outcome.ending == "refused"]
    if len(refused) == len(outcomes) == 1:
        raise ProcessError(str(refused[0].reason))
    for outcome in refused:
        output.error(f"{outcome.run.directory.name}: {outcome.reason}")
    raise launching.conclude(outcomes, interrupts, as_json=as_json)
