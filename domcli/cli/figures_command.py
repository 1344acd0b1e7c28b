"""`domcli figures`: the figures of the paper from a run's own record."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from domcli.cli import options, output


class Format(str, Enum):
    """Kinds of files that figures are written as."""

    png = "png"
    svg = "svg"
    pdf = "pdf"


def figures(
    runs: options.RunNames,
    folder: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the figures, DIR/RUN-FIGURE.png.")
    ] = Path("figures"),
    kind: Annotated[Format, typer.Option("--format", help="png for a look, pdf and svg for a paper.")] = Format.png,
    runs_dir: options.RunsDir = None,
    as_json: options.Json = False,
) -> None:
    """Draw the paper's figures of runs: accuracy, loss ranges, natural/adversarial overlap, loss of patterns.

    Figures for which a run recorded nothing are left out, with the reason on stderr. Needs matplotlib.
    """
    from domcli.cli.export import read_runs
    from domcli.exchange.figures import draw

    outcomes = draw([(run.directory, run.state) for run in read_runs(runs, runs_dir)], folder, kind.value)
    for outcome in outcomes:
        if outcome.path is None:
            output.note(f"{outcome.run}: no figure {outcome.figure}: {outcome.reason}")
    if as_json:
        output.json_data(
            [
                {
                    "run": outcome.run,
                    "figure": outcome.figure,
                    "path": None if outcome.path is None else str(outcome.path.absolute()),
                    "reason": outcome.reason,
                }
                for outcome in outcomes
            ]
        )
    else:
        for outcome in outcomes:
            if outcome.path is not None:
                output.data(options.shown_path(outcome.path))
    if all(outcome.path is None for outcome in outcomes):
        raise typer.Exit(1)
