"""`domcli resume`: go on with a run that was stopped, failed or lost."""

from __future__ import annotations

import typer

from domcli.cli import options, output
from domcli.errors import ProcessError


def resume(
    run: options.RunName,
    detach: options.Detach = False,
    device: options.Device = "auto",
    runs_dir: options.RunsDir = None,
    as_json: options.Json = False,
) -> None:
    """Go on with a run from its last checkpoint, following it as `domcli run` does."""
    from domcli import launch
    from domcli.cli.follow import Interrupts
    from domcli.cli.summary import as_json as summary
    from domcli.cli.watch import closing_summary, exit_code, tell_detached, watch
    from domcli.runs import read_run

    directory = options.find_run(run, runs_dir)
    if detach:
        tell_detached(directory, launch.resume(directory, device))
        if as_json:
            output.json_data([summary(read_run(directory))])
        return
    with Interrupts() as interrupts:
        outcome = watch(directory, lambda: launch.resume(directory, device), interrupts)
    if outcome.ending == "refused":
        raise ProcessError(str(outcome.reason))
    if as_json:
        output.json_data([summary(outcome.run)])
    else:
        closing_summary(outcome)
    raise typer.Exit(exit_code([outcome], interrupts))
