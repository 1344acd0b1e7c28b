"""A run in short: as JSON for programs, and as the closing summary for people."""

from __future__ import annotations

import time
from typing import Any

from domcli.cli import figures
from domcli.cli.options import program, reference, runs_command, shown_path
from domcli.errors import RunDirectoryError
from domcli.events import EpochEnd, Failed, Finished, Stopped
from domcli.runs import Run
from domcli.runstate import RunState, headline_accuracy


def as_json(run: Run) -> dict[str, Any]:
    """Return what `--json` says of a run. Accuracies are fractions, times seconds; null is not known."""
    state = run.state
    settings, problem = settings_tables(run)
    train = _table(settings, "train")
    return {
        "name": run.directory.name,
        "state": run.status,
        "preset": run.directory.read_environment().get("preset"),
        "seed": train.get("seed"),
        "epoch": state.epochs_done,
        "epochs": total_epochs(state, settings),
        "path": str(run.directory.path.absolute()),
        "device": state.started.device if state.started else None,
        "best": accuracies(state.best),
        "last": accuracies(state.last),
        "memorization": _memorization(state.epochs[-1]) if state.epochs else None,
        "seconds": state.seconds,
        "remaining_seconds": state.remaining_seconds() if run.status == "running" else None,
        "reason": reason(run),
        "problem": problem,
    }


def settings_tables(run: Run) -> tuple[dict[str, Any], str | None]:
    """Return the tables of settings.toml (empty if unreadable), and the first thing that is wrong with the run."""
    try:
        return run.directory.read_settings(), run.problem
    except RunDirectoryError as error:
        return {}, str(error)


def total_epochs(state: RunState, settings: dict[str, Any]) -> int | None:
    """Return how many epochs the run is to have, None if nothing says so."""
    wanted = state.started.epochs if state.started else _table(settings, "train").get("epochs")
    return wanted if isinstance(wanted, int) else None


def accuracies(epoch: EpochEnd | None) -> dict[str, Any] | None:
    """Return epoch and test accuracies of an evaluated epoch."""
    if epoch is None or epoch.test is None:
        return None
    return {
        "epoch": epoch.epoch,
        "natural_accuracy": epoch.test.natural_accuracy,
        "pgd_accuracy": epoch.test.pgd_accuracy,
        "one_step_accuracy": epoch.test.one_step_accuracy,
    }


def reason(run: Run) -> str | None:
    """Return why a failed or stopped run ended, in its trainer's words."""
    closing = run.state.closing
    return closing.reason if isinstance(closing, Failed | Stopped) else None


def closing_lines(run: Run) -> list[str]:
    """Return the closing summary: how it ended, best and last, memorized patterns, time, files, what to type next."""
    state, directory = run.state, run.directory
    settings, _ = settings_tables(run)
    total = total_epochs(state, settings)
    lines = [f"{directory.name}: {run.status} after {state.epochs_done} of {total or '?'} epochs"]
    attack = f"PGD-{_table(settings, 'evaluation').get('steps', '?')}"
    rows = [*_accuracy_rows(state, attack), *_pattern_rows(state), ("time", _time(state))]
    rows.append(("run directory", shown_path(directory.path)))
    if state.checkpoints:
        rows.append(("checkpoints", f"{shown_path(directory.checkpoints)} ({_checkpoint_names(state)})"))
    rows.append(("log", shown_path(directory.log)))
    rows += [("next", command) for command in next_commands(run)]
    width = max(len(label) for label, _ in rows)
    return lines + [f"  {label:<{width}}  {text}" for label, text in rows]


def next_commands(run: Run) -> list[str]:
    """Return the commands that make sense for a run in this state."""
    domcli, name = program(), reference(run.directory)
    if settings_tables(run)[1] is not None:
        return [f"{domcli} logs {name}"]
    if run.status == "finished":
        return [f"{domcli} show {name}", runs_command(run.directory.path.parent)]
    if run.status in ("starting", "running"):
        return [f"{domcli} logs -f {name}", f"{domcli} stop {name}"]
    return [f"{domcli} resume {name}", f"{domcli} logs {name}"]


def _accuracy_rows(state: RunState, attack: str) -> list[tuple[str, str]]:
    best, last = state.best, state.last
    measured = [("best", best), ("last", last)]
    rows = [(label, _accuracy_line(epoch, attack)) for label, epoch in measured if epoch is not None]
    high, final = headline_accuracy(best), headline_accuracy(last)
    if high is not None and final is not None:
        rows.append(("difference", f"{100 * (high - final):.2f} points (best - last)"))
    return rows


def _accuracy_line(epoch: EpochEnd, attack: str) -> str:
    test = epoch.test
    parts = [f"epoch {epoch.epoch}"]
    if test is not None:
        named = [("natural", test.natural_accuracy), (attack, test.pgd_accuracy), ("one-step", test.one_step_accuracy)]
        parts += [f"{name} {figures.percent(value)} %" for name, value in named if value is not None]
    return "  ".join(parts)


def _pattern_rows(state: RunState) -> list[tuple[str, str]]:
    if not state.epochs:
        return []
    found = state.epochs[-1].memorization
    of = f" of {figures.count(state.started.train_size)}" if state.started else ""
    text = f"{figures.count(found.high_confidence)}{of} (loss < {found.threshold:g})"
    if found.original is not None and found.transformed is not None:
        text += f": {figures.count(found.original)} original, {figures.count(found.transformed)} transformed"
    rows = [("high-confidence", text)]
    removed = sum(epoch.memorization.removed for epoch in state.epochs)
    augmented = sum(epoch.memorization.augmented for epoch in state.epochs)
    for label, total, last in (("removed", removed, found.removed), ("augmented", augmented, found.augmented)):
        if total:
            rows.append((label, f"{figures.count(last)} in the last epoch, {figures.count(total)} in all"))
    return rows


def _checkpoint_names(state: RunState) -> str:
    names = [label for label in ("best", "last") if any(saved.label == label for saved in state.checkpoints)]
    by_epoch = sum(saved.label == "epoch" for saved in state.checkpoints)
    return ", ".join([*names, f"{by_epoch} by epoch"] if by_epoch else names)


def _time(state: RunState) -> str:
    seconds = state.closing.seconds if isinstance(state.closing, Finished) else state.seconds
    text = figures.duration(seconds)
    if state.started is not None and isinstance(state.closing, Finished):
        text += time.strftime(", finished %Y-%m-%d %H:%M", time.localtime(state.closing.time))
    return text


def _memorization(epoch: EpochEnd) -> dict[str, Any]:
    found = epoch.memorization
    return {
        "high_confidence": found.high_confidence,
        "original": found.original,
        "transformed": found.transformed,
        "removed": found.removed,
        "augmented": found.augmented,
    }


def _table(settings: dict[str, Any], section: str) -> dict[str, Any]:
    table = settings.get(section)
    return table if isinstance(table, dict) else {}
