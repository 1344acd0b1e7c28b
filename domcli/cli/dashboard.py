"""`domcli dashboard`: watch, understand and steer all runs of a folder, in a terminal or in a browser."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domcli import children
from domcli.cli import options, output
from domcli.errors import DomcliError

if TYPE_CHECKING:
    from domcli.dashboard.source import RunSource

SPEED = 50.0
PORT = 8000

Replay = Annotated[
    list[str] | None,
    typer.Option(
        "--replay",
        metavar="RUN",
        help="Play this run of the past as if it were at work; several begin together.",
        autocompletion=options.complete_run,
        show_default=False,
    ),
]
Speed = Annotated[
    float | None,
    typer.Option(help=f"How many times faster than it was a replay is [default: {SPEED:g}].", show_default=False),
]
Web = Annotated[bool, typer.Option("--web", help="Serve the dashboard to browsers on this machine.")]
Port = Annotated[
    int | None,
    typer.Option(min=1, max=65535, help=f"Port for --web [default: {PORT}].", show_default=False),
]
ReadOnly = Annotated[
    bool | None,
    typer.Option(
        "--read-only/--writable",
        help="Whether runs can only be looked at, or started, stopped and deleted as well"
        " [default: --writable in a terminal, --read-only in a browser].",
        show_default=False,
    ),
]


class NoTerminalError(DomcliError):
    """The dashboard needs a terminal to draw on."""


class DashboardOptionError(DomcliError):
    """Options of the dashboard that do not go together."""


class NoServerError(DomcliError):
    """The package that serves the dashboard to browsers is missing."""


def dashboard(
    runs_dir: options.RunsDir = None,
    replay: Replay = None,
    speed: Speed = None,
    web: Web = False,
    port: Port = None,
    read_only: ReadOnly = None,
) -> None:
    """Open the dashboard: all runs with their progress, their curves, and the keys to start and stop them.

    Closing it touches no run.
    """
    _check(replay or [], speed, web, port, read_only)
    source = _source(runs_dir, replay or [], speed, steerable=not (web if read_only is None else read_only))
    if web:
        _serve(options.resolve_runs_dir(runs_dir), replay or [], speed, port or PORT, steerable=source.steerable)
        return
    # Textual draws on stderr, or on what textual-serve gives it.
    if "TEXTUAL_DRIVER" not in os.environ and not all(
        stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)
    ):
        raise NoTerminalError(f"the dashboard needs a terminal; for a script there is: {options.program()} runs --json")
    # Nothing that is loaded now goes away again; the app looks for what does once it has started.
    gc.disable()
    from domcli.dashboard.app import DomcliApp

    DomcliApp(source).run()


def _check(replay: Sequence[str], speed: float | None, web: bool, port: int | None, read_only: bool | None) -> None:
    if speed is not None and not replay:
        raise DashboardOptionError("--speed is how fast a replay is: name a run with --replay RUN")
    if port is not None and not web:
        raise DashboardOptionError("--port is for the dashboard in a browser: add --web")
    if replay and read_only is False:
        raise DashboardOptionError("--writable: a replay can only be looked at; leave out --replay to steer runs")


def _source(runs_dir: Path | None, replay: Sequence[str], speed: float | None, *, steerable: bool) -> RunSource:
    folder = options.resolve_runs_dir(runs_dir)
    if not replay:
        from domcli.dashboard.source import DirectorySource

        return DirectorySource(folder, steerable=steerable)
    from domcli.dashboard.replay import ReplaySource
    from domcli.finding import select

    return ReplaySource(folder, select(folder, replay), SPEED if speed is None else speed)


def _serve(runs_dir: Path, replay: Sequence[str], speed: float | None, port: int, *, steerable: bool) -> None:
    """Serve the command that opens the dashboard, which starts anew for every browser window."""
    try:
        from domcli.dashboard.web import serve
    except ImportError as error:
        raise NoServerError(
            f"--web needs the package textual-serve ({error.name} is missing): pip install 'domcli[web]'"
        ) from error
    command = [*children.command("domcli"), "dashboard", "--runs-dir", str(runs_dir.absolute())]
    for run in replay:
        command += ["--replay", run]
    command += ["--speed", str(speed)] if speed is not None else []
    command += [] if replay else ["--writable" if steerable else "--read-only"]
    what = "" if steerable else ", read-only"
    serve(command, port, lambda address: output.note(f"the dashboard is at {address}{what}; Ctrl-C ends it"))
