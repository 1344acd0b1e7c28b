"""`domcli export`: epochs of runs for other programs, as CSV and as TensorBoard event files."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domcli.cli import options, output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domcli.runs import Run


def export(
    runs: options.RunNames,
    csv: Annotated[
        str | None, typer.Option("--csv", metavar="FILE", help="Write a row per run and epoch; - is stdout.")
    ] = None,
    tensorboard: Annotated[
        Path | None,
        typer.Option("--tensorboard", metavar="DIR", help="Write an event file DIR/RUN/events.out.tfevents.* per run."),
    ] = None,
    runs_dir: options.RunsDir = None,
) -> None:
    """Write the epochs of runs as CSV, as TensorBoard event files, or both.

    Columns and tags are named as the fields of the epoch events (domcli show --json), and are the same for every run.
    """
    if csv is None and tensorboard is None:
        from domcli.exchange.files import ExportError

        raise ExportError("say where to: --csv FILE, --tensorboard DIR or both")
    if csv is not None and csv != "-":
        from domcli.exchange.files import require_writable

        require_writable(Path(csv), shown=csv)
    from domcli.exchange.tensorboard import export as export_tensorboard

    found = read_runs(runs, runs_dir)
    states = [(run.directory, run.state) for run in found]
    if tensorboard is not None:
        files = export_tensorboard(states, tensorboard)
        see = shlex.join(["tensorboard", "--logdir", str(tensorboard)])
        output.note(f"written: {len(files)} event file{'s' * (len(files) > 1)}; see: {see}")
    if csv is not None:
        from domcli.exchange.table import csv_text

        _write_csv(csv, csv_text(states))


def read_runs(names: Sequence[str] | None, runs_dir: Path | None) -> list[Run]:
    """Return the runs that are named, and tell the person about those that are not whole or have nothing yet."""
    from domcli.cli.selection import directories
    from domcli.runs import read_run

    found = [read_run(directory) for directory in directories(names, options.resolve_runs_dir(runs_dir))]
    for run in found:
        if run.problem is not None:
            output.note(f"{run.directory.name}: {run.problem}")
        if not run.state.epochs:
            output.note(f"{run.directory.name}: no epoch is finished yet, so there is nothing of it")
    return found


def _write_csv(target: str, text: str) -> None:
    from domcli.exchange.files import write_file

    if target == "-":
        output.text(text)
        return
    write_file(Path(target), lambda file: file.write(text.encode()))
    output.note(f"written: {target}")
