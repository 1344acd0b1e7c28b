"""`domcli stop`: ask trainers to write a checkpoint and stop."""

from __future__ import annotations

from typing import Annotated

import typer

from domcli.cli import options, output


def stop(
    runs: options.RunNames,
    kill: Annotated[
        bool, typer.Option("--kill", help="End at once; what was done since the last checkpoint is lost.")
    ] = False,
    runs_dir: options.RunsDir = None,
) -> None:
    """Ask trainers to write a checkpoint and stop, and wait until they have."""
    from domcli import launch

    directories = [options.find_run(run, runs_dir) for run in runs]
    if kill:
        for directory in directories:
            launch.kill(directory)
    else:
        # All are asked before any is waited for, so that they write their checkpoints at the same time.
        asked = [(directory, launch.request_stop(directory)) for directory in directories]
        for directory, identity in asked:
            launch.wait_stopped(directory, identity)
    for directory in directories:
        ended = "killed" if kill else "stopped"
        output.note(
            f"{directory.name} was {ended}; go on with: {options.program()} resume {options.reference(directory)}"
        )
