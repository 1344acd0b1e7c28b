"""Options that several commands share, how they complete in a shell, and how a run is named in a command to type."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domcli.files import at_home
from domcli.printable import printable_line

if TYPE_CHECKING:
    from domcli.rundir import RunDirectory

RUNS_DIR_VARIABLE = "DOMCLI_RUNS_DIR"


def complete_preset(incomplete: str) -> list[str]:
    """Return the presets whose names begin so; no name while a path is being typed, which the shell completes."""
    from domcli.presets import available

    return [preset.name for preset in available() if preset.name.startswith(incomplete)]


def complete_run(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the runs of the runs folder whose names begin so. Typer knows the arguments by these names."""
    from domcli.finding import list_runs

    chosen = ctx.params.get("runs_dir")
    names = [run.name for run in list_runs(resolve_runs_dir(chosen)) if run.name.startswith(incomplete)]
    # A shell writes them to the terminal as they are.
    return [name for name in names if printable_line(name) == name]


def complete_state(incomplete: str) -> list[str]:
    """Return the states that begin so, after those of a list that have been typed."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{state}" for state in states() if state.startswith(last)]


def states() -> tuple[str, ...]:
    """Return what a run can be doing."""
    from typing import get_args

    from domcli.runstate import Status

    return get_args(Status)


RunsDir = Annotated[
    Path | None,
    typer.Option("--runs-dir", metavar="DIR", help="Folder of the runs [default: $DOMCLI_RUNS_DIR, else ./runs]."),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")]
Detach = Annotated[bool, typer.Option("--detach", help="Return at once; the runs go on in the background.")]
RunName = Annotated[
    str,
    typer.Argument(metavar="RUN", help="Name, unique beginning of a name, or path.", autocompletion=complete_run),
]
RunNames = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN...",
        help="Names, unique beginnings, paths, or quoted globs such as 'pgd-*'.",
        autocompletion=complete_run,
        show_default=False,
    ),
]
"""Optional: `domcli.cli.selection` says what none means."""
States = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        metavar="STATE",
        help="Only runs in these states, such as failed,lost; of the RUNs, if any are named.",
        autocompletion=complete_state,
        show_default=False,
    ),
]


def resolve_runs_dir(option: Path | str | None) -> Path:
    """Return the folder of the runs: the option, else $DOMCLI_RUNS_DIR, else ./runs."""
    return at_home(option or os.environ.get(RUNS_DIR_VARIABLE) or "runs")


def find_run(wanted: str, runs_dir: Path | None) -> RunDirectory:
    """Return the run meant by a RUN argument. Raises RunDirectoryError when there is none, or more than one."""
    from domcli.finding import find

    return find(resolve_runs_dir(runs_dir), wanted)


def program() -> str:
    """Return how this program is called in a command to type: `domcli` where the shell finds it, else as it was."""
    if shutil.which("domcli") is not None:
        return "domcli"
    called = Path(sys.argv[0])
    return "python -m domcli" if called.name == "__main__.py" else shlex.quote(shown_path(called))


def reference(run: RunDirectory) -> str:
    """Return how to name this run in a command: by name where that finds it, else by path; quoted for a shell."""
    usual = resolve_runs_dir(None).absolute()
    known_by_name = run.path.absolute().parent.resolve() == usual.resolve()
    return shlex.quote(run.name if known_by_name else str(run.path.absolute()))


def runs_command(runs_dir: Path) -> str:
    """Return the command that lists the runs of this folder."""
    usual = resolve_runs_dir(None).absolute().resolve() == runs_dir.absolute().resolve()
    return f"{program()} runs" if usual else f"{program()} runs --runs-dir {shlex.quote(shown_path(runs_dir))}"


def shown_path(path: Path) -> str:
    """Return the path from here if it lies below the current folder, else in full."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path.absolute())
