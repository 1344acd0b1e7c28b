"""`domcli compare-runs`: groups of seeds side by side, whether they differ, and how they stand to the paper."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from domcli.cli import options, output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from domcli.compare import Comparison, Format
    from domcli.compare.assertions import Assertion
    from domcli.compare.sheets import Sheet

Form = Literal["table", "markdown", "latex", "csv", "json", "html"]

ENDINGS: dict[str, Form] = {
    ".md": "markdown",
    ".tex": "latex",
    ".csv": "csv",
    ".json": "json",
    ".html": "html",
    ".htm": "html",
}
"""Formats that the ending of --output stands for where --format is not given."""


def compare_runs(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Names, beginnings of names, globs, run directories or folders of runs; the first group is the "
            "baseline of the tests.",
            autocompletion=options.complete_run,
        ),
    ],
    runs_dir: options.RunsDir = None,
    error: Annotated[bool, typer.Option("--error", help="Show test error instead of accuracy.")] = False,
    at_epoch: Annotated[
        int | None,
        typer.Option(
            "--at-epoch",
            metavar="N",
            min=1,
            help="Compare after N epochs, with runs that are not finished; best is then the best up to there.",
        ),
    ] = None,
    paper: Annotated[bool, typer.Option("--paper", help="Add what the paper published for the same settings.")] = False,
    assertions: Annotated[
        list[str] | None,
        typer.Option(
            "--assert",
            metavar="EXPRESSION",
            help="End with 1 unless the mean accuracies, in percent, are so: 'pgd.last: pgd-dom-re > pgd-baseline', "
            "'pgd.last: pgd-dom-re > 50', '... > pgd-baseline + 1'; natural|pgd|one-step|aa . best|last|diff; "
            "repeatable.",
        ),
    ] = None,
    form: Annotated[
        Form | None, typer.Option("--format", help="[default: by the ending of --output, else table]")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there instead of to stdout.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw the curves of the groups, too: a .png, .svg or .pdf file."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Compare runs: those that differ in the seed alone are one group, with mean and standard deviation.

    `best` is the epoch of the highest PGD test accuracy of each run (natural for natural training). Runs that are not
    finished do not count and are listed with the reason.
    """
    from domcli.compare import compare, select
    from domcli.compare.assertions import parse

    expected = [parse(text) for text in assertions or ()]
    chosen = _form(form, file, as_json)
    directories = select(options.resolve_runs_dir(runs_dir), runs)
    comparison = compare(directories, at_epoch=at_epoch, error=error, paper=paper)
    if plot is not None:
        from domcli.cli.compare_plot import plot_file

        plot_file(comparison, plot)
        output.note(f"written: {plot}")
    if chosen != "table":
        _write(_document(comparison, chosen), file)
    elif file is not None:
        _write(_plain(comparison), file)
    else:
        for part in _parts(comparison):
            output.table(part)
        _draw(comparison)
    _judge(expected, comparison)


def _form(form: Form | None, file: Path | None, as_json: bool) -> Form:
    from domcli.compare.errors import ComparisonError

    if as_json and form not in (None, "json"):
        raise ComparisonError(f"--json and --format {form} ask for two formats: give one of them")
    return "json" if as_json else form or ENDINGS.get(file.suffix.lower() if file else "", "table")


def _document(comparison: Comparison, form: Form) -> str:
    from domcli.compare import export

    return export(comparison, cast("Format", form))


def _write(text: str, file: Path | None) -> None:
    from domcli.errors import StorageError
    from domcli.rundir import replace_text

    if file is None:
        output.text(text)
        return
    target = file.expanduser().resolve()
    if target.exists() and not target.is_file():
        raise StorageError(f"cannot write {file}: it is not a file; give --output the name of a file")
    try:
        replace_text(target, text)
    except OSError as problem:
        raise StorageError(f"cannot write {file}: {problem.strerror}; choose another --output") from problem
    output.note(f"written: {file}")


def _judge(expected: Sequence[Assertion], comparison: Comparison) -> None:
    from domcli.compare.assertions import check
    from domcli.compare.errors import FailedAssertion

    verdicts = [check(assertion, comparison.groups) for assertion in expected]
    for verdict in verdicts:
        if verdict.holds:
            output.note(verdict.sentence)
    if not all(verdict.holds for verdict in verdicts):
        raise FailedAssertion("\n".join(verdict.sentence for verdict in verdicts if not verdict.holds))


def _draw(comparison: Comparison) -> None:
    """Draw the curves under the tables where somebody looks at them."""
    if not sys.stdout.isatty():
        return
    from domcli.cli.compare_plot import terminal_chart

    chart = terminal_chart(comparison, min(100, output.console(sys.stdout).width))
    if chart is not None:
        output.table(chart)


def _plain(comparison: Comparison) -> str:
    stream = io.StringIO()
    console = output.console(stream)
    for part in _parts(comparison):
        console.print(part)
    return stream.getvalue()


def _parts(comparison: Comparison) -> list[RenderableType]:
    from rich.text import Text

    from domcli.compare.sheets import sheets

    parts: list[RenderableType] = []
    for sheet in sheets(comparison):
        parts += [Text(sheet.title, style="bold"), _table(sheet), Text()]
    return [*parts, *(Text(line, style="dim") for line in (*comparison.notes, comparison.origin))]


def _table(sheet: Sheet) -> RenderableType:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for place, column in enumerate(sheet.columns):
        words = place < sheet.text
        table.add_column(column, justify="left" if words else "right", no_wrap=not words, overflow="fold")
    for row in sheet.rows:
        table.add_row(*map(Text, row))
    return table
