"""`domcli compare-runs`: groups of seeds side by side, whether they differ, and how they stand to the paper."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from domcli.cli import options, output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domcli.compare import Comparison, Format
    from domcli.compare.assertions import Assertion

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
        list[str] | None,
        typer.Argument(
            metavar="RUN...",
            help="Names, beginnings of names, globs, run directories or folders of runs; the first group is the "
            "baseline of the tests.",
            autocompletion=options.complete_run,
            show_default=False,
        ),
    ] = None,
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
            "'pgd.last: pgd-dom-re > 50', '... > pgd-baseline + 1'. Before the colon stands natural, pgd, one-step, or "
            "what domcli evaluate measured, aa (AutoAttack) or pgd-STEPS[-RESTARTS], with -l2, -epsE, -alphaA, "
            "-imagesN where it was not L-infinity 8/255 by steps of 2/255 on all images; then .best, .last or .diff. "
            "Repeatable.",
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
    from domcli.cli import comparison_text
    from domcli.compare import compare, select
    from domcli.compare.assertions import parse

    expected = [parse(text) for text in assertions or ()]
    chosen = _form(form, file, as_json)
    folder = options.resolve_runs_dir(runs_dir)
    directories = select(folder, runs or _refuse_none(folder))
    comparison = compare(directories, at_epoch=at_epoch, error=error, paper=paper)
    if plot is not None:
        from domcli.cli.compare_plot import plot_file

        plot_file(comparison, plot)
        output.note(f"written: {plot}")
    if chosen != "table":
        _write(_document(comparison, chosen), file)
    elif file is None and sys.stdout.isatty():
        comparison_text.show(comparison)
    else:
        _write(comparison_text.plain(comparison), file)
    _judge(expected, comparison)


def _refuse_none(folder: Path) -> list[str]:
    """Say what to name. Not every run there is: the first group is the baseline of every test, which is a choice."""
    import re
    import shlex

    from domcli.compare.errors import ComparisonError
    from domcli.rundir import list_runs

    stems = list(dict.fromkeys(re.sub(r"-seed\d+(-\d+)?$", "", run.name) for run in list_runs(folder)))
    example = shlex.join(["domcli", "compare-runs", *(stems[:2] or ["pgd-baseline", "pgd-dom-re"])])
    everything = f"'*' stands for all of {folder}" if stems else f"there are none in {folder} yet"
    raise ComparisonError(f"name the runs to compare, the baseline first, as in: {example} ({everything})")


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
