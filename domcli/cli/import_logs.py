"""`domcli import`: logs of the official implementation become runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from domcli.cli import options, output


def import_logs(
    logs: Annotated[
        list[Path], typer.Argument(metavar="LOG...", help="output.log files of the official DOM implementation.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the run, for one log [default: the official run's name].")
    ] = None,
    runs_dir: options.RunsDir = None,
    as_json: options.Json = False,
) -> None:
    """Turn logs of the official implementation into runs, to stand beside new ones in every table and chart.

    All logs are checked before the first run is written. What neither a log nor the official script says, such as
    device and precision, stays unknown; what is not as the log says is told with the reason.
    """
    from domcli.cli import summary
    from domcli.exchange.imports import read_runs, write_runs
    from domcli.runs import read_run

    if name is not None and len(logs) > 1:
        from domcli.errors import RunDirectoryError

        raise RunDirectoryError("one --name cannot be given to several logs: import them one by one")
    folder = options.resolve_runs_dir(runs_dir)
    imported = read_runs(logs, folder, name)
    written = [read_run(directory) for directory in write_runs(imported, folder)]
    for run, source in zip(written, imported, strict=True):
        if source.not_mapped:
            output.note(f"{run.directory.name}: not among domcli's settings: {', '.join(source.not_mapped)}")
        for remark in source.remarks:
            output.note(f"{run.directory.name}: {remark}")
    if as_json:
        output.json_data(
            [
                {
                    **summary.as_json(run),
                    "imported_from": source.environment["imported_from"],
                    "not_mapped": list(source.not_mapped),
                    "remarks": list(source.remarks),
                }
                for run, source in zip(written, imported, strict=True)
            ]
        )
        return
    for run in written:
        output.lines(summary.closing_lines(run))
