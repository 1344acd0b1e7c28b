"""`domcli runs`: all runs of a folder, what they are doing and how well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domcli.cli import figures, options, output

if TYPE_CHECKING:
    from rich.table import Table

    from domcli.runs import Run

STATE_STYLES = {
    "finished": "green",
    "running": "cyan",
    "starting": "cyan",
    "stopped": "yellow",
    "failed": "red",
    "lost": "red",
}


def runs(runs_dir: options.RunsDir = None, as_json: options.Json = False) -> None:
    """List the runs, oldest first, with their state, progress and accuracies."""
    from domcli.cli.summary import as_json as summary
    from domcli.rundir import list_runs
    from domcli.runs import read_run

    folder = options.resolve_runs_dir(runs_dir)
    found = [read_run(directory) for directory in list_runs(folder)]
    if as_json:
        output.json_data([summary(run) for run in found])
    elif found:
        output.table(_table(found))
    else:
        place = f" --runs-dir {folder}" if runs_dir else ""
        output.note(f"no runs yet in {folder}; start one with: {options.program()} run pgd-dom-re --quick{place}")


def _table(found: list[Run]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("name", overflow="fold")
    table.add_column("state", no_wrap=True)
    for title in ("epoch", "best %", "last %"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("of", no_wrap=True)
    table.add_column("device", no_wrap=True)
    table.add_column("ETA", justify="right", no_wrap=True)
    problems = [_problem(run) for run in found]
    if any(problems):
        table.add_column("problem", overflow="fold")
    for run, problem in zip(found, problems, strict=True):
        state = Text(run.status, style=STATE_STYLES.get(run.status, ""))
        row = [Text(run.directory.name), state, *(Text(cell) for cell in _cells(run))]
        table.add_row(*row, *([Text(problem or "")] if any(problems) else []))
    return table


def _cells(run: Run) -> list[str]:
    from domcli.cli.summary import settings_tables, total_epochs
    from domcli.runstate import headline_accuracy

    state = run.state
    settings, _ = settings_tables(run)
    remaining = state.remaining_seconds() if run.status == "running" else None
    return [
        f"{state.epochs_done}/{total_epochs(state, settings) or '?'}",
        figures.percent(headline_accuracy(state.best)),
        figures.percent(headline_accuracy(state.last)),
        _measure(run),
        state.started.device if state.started else figures.MISSING,
        figures.duration(remaining),
    ]


def _measure(run: Run) -> str:
    """Return what the accuracies of a run are of, which differs between natural and adversarial training."""
    from domcli.cli.summary import settings_tables

    evaluation = settings_tables(run)[0].get("evaluation", {})
    if not isinstance(evaluation, dict) or "attack" not in evaluation:
        return figures.MISSING
    return "natural" if evaluation["attack"] == "none" else f"PGD-{evaluation.get('steps', '?')}"


def _problem(run: Run) -> str | None:
    from domcli.cli.summary import reason, settings_tables

    _, problem = settings_tables(run)
    return problem or (reason(run) if run.status == "failed" else None)
