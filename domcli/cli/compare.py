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
Given = Literal["table", "markdown", "md", "latex", "csv", "json", "html"]
"""What --format takes: `md` is markdown."""

ENDINGS: dict[str, Form] = {
    ".txt": "table",
    ".md": "markdown",
    ".markdown": "markdown",
    ".tex": "latex",
    ".csv": "csv",
    ".json": "json",
    ".html": "html",
    ".htm": "html",
}
"""Formats that the ending of --output stands for; a .txt file may hold any that --format names."""


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
    paper: Annotated[
        bool,
        typer.Option(
            "--paper", help="Add what the paper published for the same settings, or the nearest: then with no verdict."
        ),
    ] = False,
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
        Given | None, typer.Option("--format", help="[default: by the ending of --output; to stdout, table]")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write there instead of to stdout (-): .txt .md .tex .csv .json .html.",
        ),
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

    if file == Path("-"):
        file = None
    expected = [parse(text) for text in assertions or ()]
    _check_places(file, plot)
    chosen = _form(form, file, as_json)
    folder = options.resolve_runs_dir(runs_dir)
    directories = select(folder, runs or _refuse_none(folder))
    comparison = compare(directories, at_epoch=at_epoch, error=error, paper=paper)
    nothing = not any(group.n for group in comparison.groups)
    if plot is not None and not nothing:
        from domcli.cli.compare_plot import plot_file

        plot_file(comparison, plot)
        output.note(f"written: {plot}")
    if chosen != "table":
        _write(_document(comparison, chosen), chosen, file)
    elif file is None and sys.stdout.isatty():
        comparison_text.show(comparison)
    else:
        text = comparison_text.for_stdout(comparison) if file is None else comparison_text.plain(comparison)
        _write(text, chosen, file)
    if nothing:
        _refuse_nothing(comparison)
    _judge(expected, comparison)


def _refuse_none(folder: Path) -> list[str]:
    """Say what to name. Not every run there is: the first group is the baseline of every test, which is a choice."""
    import re
    import shlex

    from domcli.compare.errors import ComparisonError
    from domcli.finding import list_runs

    stems = list(dict.fromkeys(re.sub(r"-seed\d+(-\d+)?$", "", run.name) for run in list_runs(folder)))
    example = shlex.join(["domcli", "compare-runs", *(stems[:2] or ["pgd-baseline", "pgd-dom-re"])])
    everything = f"'*' stands for all of {folder}" if stems else f"there are none in {folder} yet"
    raise ComparisonError(f"name the runs to compare, the baseline first, as in: {example} ({everything})")


def _form(form: Given | None, file: Path | None, as_json: bool) -> Form:
    """Return the format; a pipe or a device whose name does not say gets what stdout gets."""
    from domcli.compare.errors import ComparisonError
    from domcli.files import exists, is_regular

    if as_json and form not in (None, "json"):
        raise ComparisonError(f"--json and --format {form} ask for two formats: give one of them")
    wanted: Form | None = "json" if as_json else "markdown" if form == "md" else form
    if file is None:
        return wanted or "table"
    ending = file.suffix.lower()
    stands_for = ENDINGS.get(ending)
    if wanted is None and stands_for is None and exists(file) and not is_regular(file):
        return "table"
    if wanted is None and stands_for is None:
        raise ComparisonError(
            f"--output {file}: its ending does not say which format it is to have; give it one of "
            f"{', '.join(ENDINGS)}, or add --format"
        )
    if wanted is not None and stands_for not in (None, "table", wanted):
        option = "--json" if as_json else f"--format {wanted}"
        raise ComparisonError(f"--output {file} is the name of a {stands_for} file, and {option} asks for another")
    return wanted or stands_for or "table"


def _check_places(file: Path | None, plot: Path | None) -> None:
    """Refuse files that cannot be written, before anything is."""
    if file is not None:
        from domcli.exchange.files import require_writable

        require_writable(file, shown=file, advice="; choose another --output")
    if plot is not None:
        from domcli.exchange.files import require_writable
        from domcli.exchange.plot import format_of

        format_of(plot)
        require_writable(plot, shown=plot, advice="; choose another --plot")


def _refuse_nothing(comparison: Comparison) -> None:
    from domcli.compare.errors import NothingCountsError

    _, first = comparison.left_out[0]
    others = len(comparison.left_out) - 1
    more = f" (and {others} more, each listed with its reason)" if others else ""
    raise NothingCountsError(f"no run counts: {first.record.name} {first.reason}{more}")


def _document(comparison: Comparison, form: Form) -> str:
    from domcli.compare import export

    return export(comparison, cast("Format", form))


def _write(text: str, form: Form, file: Path | None) -> None:
    from domcli.exchange.files import write_file

    if file is None:
        (output.json_text if form == "json" else output.text)(text)
        return
    write_file(file, lambda stream: stream.write(text.encode()))
    output.note(f"written: {file}")


def _judge(expected: Sequence[Assertion], comparison: Comparison) -> None:
    from domcli.compare.assertions import check
    from domcli.compare.errors import FailedAssertion

    verdicts = [check(assertion, comparison.groups) for assertion in expected]
    for verdict in verdicts:
        if verdict.holds:
            output.note(verdict.sentence)
    if not all(verdict.holds for verdict in verdicts):
        raise FailedAssertion(*(verdict.sentence for verdict in verdicts if not verdict.holds))
