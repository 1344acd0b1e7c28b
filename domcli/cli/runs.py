"""`domcli runs`: all runs of a folder, what they are doing and how well."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from domcli import files
from domcli.cli import options, output
from domcli.cli.runs_view import SortKey, View, footer
from domcli.cli.selection import SelectionError, directories, parse_states, wake_queue

if TYPE_CHECKING:
    pass


def runs(
    names: options.RunNames = None,
    states: options.States = None,
    preset: Annotated[
        str | None, typer.Option("--preset", metavar="GLOB", help="Only runs of presets that fit, such as 'pgd-*'.")
    ] = None,
    sort: Annotated[
        SortKey | None,
        typer.Option("--sort", help="Sort by this, the best first [default: created; with --watch state]."),
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="Sort the other way round.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing how they are; q leaves.")] = False,
    runs_dir: options.RunsDir = None,
    as_json: options.Json = False,
) -> None:
    """List the runs, oldest first, with their state, progress and accuracies."""
    folder = options.resolve_runs_dir(runs_dir)
    default = SortKey.state if watch else SortKey.created
    view = View(folder, names or (), parse_states(states), preset, sort or default, reverse)
    if watch and as_json:
        raise SelectionError("--watch draws on a terminal and --json writes once: choose one of them")
    if watch:
        from domcli.cli.runs_watch import watch_runs

        watch_runs(view)
        return
    _list(view, place=f" --runs-dir {shlex.quote(str(folder))}" if runs_dir else "", as_json=as_json)


def _list(view: View, place: str, *, as_json: bool) -> None:
    from domcli.cli.runs_table import write_runs
    from domcli.cli.summary import as_json as summary
    from domcli.finding import queue_places
    from domcli.runs import read_run

    wake_queue(view.runs_dir)
    found = [read_run(directory, brief=True) for directory in directories(view.names, view.runs_dir)]
    places = queue_places(view.runs_dir)
    shown = view.arrange(found, places)
    if as_json:
        output.json_data([summary(run, places) for run in shown])
    elif shown:
        write_runs(shown, places)
        if sys.stdout.isatty():
            output.note("")
            output.note(footer(shown, places, whole=view.whole))
    elif found:
        output.note(f"none of the {len(found)} runs in {view.runs_dir} fits")
    else:
        missing = ", which is not there" if place and not files.is_folder(view.runs_dir) else ""
        first = f"{options.program()} run pgd-dom-re --quick{place}"
        output.note(f"no runs yet in {view.runs_dir}{missing}; start one with: {first}")
