"""The `domcli` command: its subcommands, and the one place where an expected failure becomes a sentence."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import Annotated

import typer

from domcli import __version__
from domcli.cli import (
    bench,
    compare,
    dashboard,
    delete,
    doctor,
    evaluate,
    export,
    figures_command,
    import_logs,
    logs,
    output,
    presets,
    resume,
    run,
    runs,
    show,
    stop,
    streams,
)
from domcli.cli.once import OnceCommand, UsageError
from domcli.errors import DomcliError

INTERRUPTED = 130

app = typer.Typer(
    name="domcli",
    help="Launch and watch experiments on over-memorization and adversarial robustness (DOM, ICLR 2024).",
    no_args_is_help=False,
    invoke_without_command=True,
    # Plain help and usage errors: rich would take longer to load than all of the rest.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run", cls=OnceCommand)(run.run)
app.command("resume", cls=OnceCommand)(resume.resume)
app.command("retry", cls=OnceCommand)(resume.retry)
app.command("follow", cls=OnceCommand)(resume.follow)
app.command("stop", cls=OnceCommand)(stop.stop)
app.command("kill", cls=OnceCommand)(stop.kill)
app.command("delete", cls=OnceCommand)(delete.delete)
app.command("runs", cls=OnceCommand)(runs.runs)
app.command("show", cls=OnceCommand)(show.show)
app.command("logs", cls=OnceCommand)(logs.logs)
app.command("dashboard", cls=OnceCommand)(dashboard.dashboard)
app.command("compare-runs", cls=OnceCommand)(compare.compare_runs)
app.command("evaluate", cls=OnceCommand)(evaluate.evaluate)
app.command("figures", cls=OnceCommand)(figures_command.figures)
app.command("export", cls=OnceCommand)(export.export)
app.command("import", cls=OnceCommand)(import_logs.import_logs)
app.command("bench", cls=OnceCommand)(bench.bench)
app.command("doctor", cls=OnceCommand)(doctor.doctor)
app.add_typer(presets.app, name="presets")


def _show_version(wanted: bool) -> None:
    if wanted:
        output.data(f"domcli {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand is not None:
        return
    if sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        dashboard.dashboard()
    else:
        output.data(context.get_help())


def main() -> None:
    """Run the command line; the process ends with 0, 1 (a run failed), 2 (bad usage or settings) or 130 (Ctrl-C)."""
    streams.prepare()
    sys.excepthook = _tell_of_a_bug
    with output.written_out():
        try:
            sys.exit(app(prog_name="domcli", standalone_mode=False) or 0)
        except UsageError as error:
            output.error(_usage(error))
            sys.exit(2)
        except DomcliError as error:
            for problem in error.sentences:
                output.error(problem)
            sys.exit(error.exit_code)
        except typer.Abort:  # the end of the input where a question was asked
            sys.exit(1)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)


def _usage(error: Exception) -> str:
    """Return what is wrong with the command line, and where the right one is shown."""
    context = getattr(error, "ctx", None)
    command = "domcli" if context is None else context.command_path
    sentence: str = error.format_message()  # type: ignore[attr-defined]
    return f"{sentence.replace('Value error, ', '').rstrip('.')}; see {command} --help"


def _tell_of_a_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Write a traceback to stderr: it may quote anything, as every other text does."""
    import traceback

    for line in "".join(traceback.format_exception(kind, error, trace)).rstrip("\n").split("\n"):
        output.note(line)
