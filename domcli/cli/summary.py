"""A run in short: as JSON for programs, and as the closing summary for people."""

from __future__ import annotations

import shlex
import signal
import time
from collections.abc import Mapping
from typing import Any

from domcli import amounts
from domcli.cli import figures
from domcli.cli.options import program, reference, runs_command, shown_path
from domcli.events import EpochEnd, Failed, Finished, Stopped
from domcli.finding import queue_places
from domcli.plural import counted
from domcli.runs import Run
from domcli.runstate import RunState, headline_accuracy


def as_json(run: Run, places: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Return what `--json` says of a run. Accuracies and progress are fractions, times seconds; null is not known.

    `places` are those of its folder's queue, if they are known already (see `finding.queue_places`).
    """
    state, closing = run.state, run.state.closing
    return {
        "name": run.directory.name,
        "state": run.status,
        "queue_place": queue_place(run, places),
        "preset": run.preset,
        "seed": _table(run.settings, "train").get("seed"),
        "epoch": state.epochs_done,
        "epochs": total_epochs(run),
        "progress": progress(run),
        "path": str(run.directory.path.absolute()),
        "created": created(run),
        "device": run.device,
        "best": accuracies(state.best),
        "last": accuracies(state.last),
        "memorization": _memorization(state.epochs[-1]) if state.epochs else None,
        "seconds": state.seconds,
        "remaining_seconds": state.remaining_seconds() if run.status == "running" else None,
        "retries": run.ticket.retries if run.ticket else None,
        "max_retries": run.ticket.max_retries if run.ticket else None,
        "exit_code": run.process.exit_code if run.process else None,
        "cause": closing.cause if isinstance(closing, Failed) else None,
        "reason": reason(run),
        "problem": run.problem,
        "findings": [
            {"kind": one.kind, "epoch": one.epoch, "severity": one.severity, "reason": one.reason}
            for one in run.findings
        ],
    }


def total_epochs(run: Run) -> int | None:
    """Return how many epochs the run is to have, None if nothing says so."""
    return run.total_epochs


def progress(run: Run) -> float | None:
    """Return how much of the run is done, from 0 to 1; None if nothing says how many epochs it is to have."""
    return run.progress


def created(run: Run) -> float | None:
    """Return when the run was created, seconds since 1970."""
    noted = run.directory.read_environment().get("created")
    return noted if isinstance(noted, int | float) else None


def queue_place(run: Run, places: Mapping[str, int] | None = None) -> int | None:
    """Return the place of a queued run in its queue, from 1."""
    if run.status != "queued":
        return None
    known = queue_places(run.directory.path.parent) if places is None else places
    return known.get(run.directory.name)


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


def what_happened(run: Run) -> str | None:
    """Return what is wrong with a run: it cannot be read whole, why it failed, or how its trainer was lost."""
    if run.problem is not None:
        return run.problem
    if isinstance(run.state.closing, Failed) and run.status in ("failed", "queued"):
        return run.state.closing.reason
    if run.status != "lost":
        return None
    if run.process is None:
        return "not in the queue, and no trainer is known"
    code = run.process.exit_code
    if code is None:
        return None
    ended = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
    return f"its trainer {ended}"


def retry(run: Run) -> str | None:
    """Return `retry 1/2` for a run that was queued again after a failure and has not ended since."""
    ticket = run.ticket
    if ticket is None or not ticket.retries or run.status not in ("queued", "starting", "running"):
        return None
    return f"retry {ticket.retries}/{ticket.max_retries}"


def queue_text(run: Run) -> str:
    """Return where a queued run waits and what for."""
    place = queue_place(run)
    parts = [f"place {place} in the queue" if place else "in the queue"]
    if run.ticket is not None:
        parts.append(f"for {' or '.join(device.name for device in run.ticket.devices)}")
        if run.ticket.jobs > 1:
            parts.append(f"(up to {run.ticket.jobs} runs at a time)")
        from domcli.launch.launcher import why_it_waits  # takes long to load

        why = why_it_waits(run.directory.path.parent, run.ticket)
        if why:
            parts.append(f"while {why}")
    return " ".join(parts)


def closing_lines(run: Run) -> list[str]:
    """Return the closing summary: how it ended, best and last, memorized patterns, time, files, what to type next."""
    state, directory = run.state, run.directory
    total = total_epochs(run)
    done = f"{state.epochs_done} of {counted(total, 'epoch') if total else '? epochs'}"
    at_work = run.status in ("queued", "starting", "running")
    lines = [f"{directory.name}: {run.status}" + (f", {done} done" if at_work else f" after {done}")]
    attack = f"PGD-{_table(run.settings, 'evaluation').get('steps', '?')}"
    rows = [*_queue_rows(run), *_accuracy_rows(state, attack), *_pattern_rows(state), ("time", _time(state))]
    rows += [("watch", f"{one.badge}: {one.reason}") for one in run.findings]
    rows.append(("run directory", shown_path(directory.path)))
    if state.checkpoints:
        rows.append(("checkpoints", f"{shown_path(directory.checkpoints)} ({_checkpoint_names(state)})"))
    if (again := _done_again(run)) is not None:
        rows.append(("resume", again))
    rows.append(("log", shown_path(directory.log)))
    rows += [("next", command) for command in next_commands(run)]
    width = max(len(label) for label, _ in rows)
    return lines + [f"  {label:<{width}}  {text}" for label, text in rows]


def next_commands(run: Run) -> list[str]:
    """Return the commands that make sense for a run in this state."""
    domcli, name = program(), reference(run.directory)
    if run.problem is not None:
        return [f"{domcli} logs {name}"]
    if run.status == "failed" and run.state.diverged:
        return [*_with_a_lower_rate(run), f"{domcli} logs {name}"]
    if run.status == "finished":
        return [f"{domcli} show {name}", runs_command(run.directory.path.parent)]
    if run.status == "queued":
        return [runs_command(run.directory.path.parent), f"{domcli} stop {name}"]
    if run.status in ("starting", "running"):
        return [f"{domcli} logs -f {name}", f"{domcli} stop {name}"]
    return [f"{domcli} resume {name}", f"{domcli} logs {name}"]


def _with_a_lower_rate(run: Run) -> list[str]:
    """Return the command for a run like one that diverged, which has to be another one."""
    rate = _table(run.settings, "train").get("max_lr")
    if not isinstance(rate, int | float):
        return []
    settings = shlex.quote(shown_path(run.directory.settings))
    lower = f"--set train.max_lr={rate / 2:g} --name {shlex.quote(run.directory.name + '-lower-lr')}"
    return [f"{program()} run {settings} {lower}"]


def _done_again(run: Run) -> str | None:
    """Return which epochs of a run that broke off are done again, where its last checkpoint is behind them."""
    kept = [saved.epoch for saved in run.state.checkpoints if saved.label == "last"]
    epoch, done = kept[-1] if kept else 0, run.state.epochs_done
    if run.status not in ("failed", "lost") or run.state.diverged or epoch >= done:
        return None
    again = f"epoch {done} is" if epoch == done - 1 else f"epochs {epoch + 1} to {done} are"
    where = f"goes on after epoch {epoch}, its last checkpoint" if epoch else "begins anew, for no checkpoint was kept"
    return f"{where}: {again} done again, with the same numbers"


def _queue_rows(run: Run) -> list[tuple[str, str]]:
    rows = [("queue", queue_text(run))] if run.status == "queued" else []
    again, ticket = retry(run), run.ticket
    if again is not None and ticket is not None:
        begin = f", not before {amounts.date(ticket.not_before, '%H:%M:%S')}"
        rows.append(("retry", f"{again[len('retry ') :]}{begin if ticket.not_before > time.time() else ''}"))
    elif ticket is not None and ticket.max_retries:
        rows.append(("retries", f"none so far, {ticket.max_retries} at the most"))
    return rows


def _accuracy_rows(state: RunState, attack: str) -> list[tuple[str, str]]:
    best, last = state.best, state.last
    measured = [("best", best), ("last", last)]
    rows = [(label, _accuracy_line(epoch, attack)) for label, epoch in measured if epoch is not None]
    high, final = headline_accuracy(best), headline_accuracy(last)
    if high is not None and final is not None:
        # Of the numbers above, as they are shown: a reader who subtracts them finds the same.
        difference = round(100 * high, 2) - round(100 * final, 2)
        rows.append(("difference", f"{difference:.2f} points (best - last)"))
    return rows


def _accuracy_line(epoch: EpochEnd, attack: str) -> str:
    test = epoch.test
    parts = [f"epoch {epoch.epoch}"]
    if test is not None:
        named = [("natural", test.natural_accuracy), (attack, test.pgd_accuracy), ("one-step", test.one_step_accuracy)]
        parts += [f"{name} {figures.percent(value)} %" for name, value in named if value is not None]
    return "  ".join(parts)


def _pattern_rows(state: RunState) -> list[tuple[str, str]]:
    records = [epoch.memorization for epoch in state.epochs if epoch.memorization is not None]
    if not records:
        return []
    found = records[-1]
    of = f" of {figures.count(state.started.train_size)}" if state.started else ""
    text = f"{figures.count(found.high_confidence)}{of} (loss < {found.threshold:g})"
    if found.original is not None and found.transformed is not None:
        text += f": {figures.count(found.original)} original, {figures.count(found.transformed)} transformed"
    rows = [("high-confidence", text)]
    removed = sum(record.removed for record in records)
    augmented = sum(record.augmented for record in records)
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
        text += f", finished {amounts.date(state.closing.time)}"
    return text


def _memorization(epoch: EpochEnd) -> dict[str, Any] | None:
    found = epoch.memorization
    if found is None:
        return None
    return {
        "high_confidence": found.high_confidence,
        "original": found.original,
        "transformed": found.transformed,
        "removed": found.removed,
        "augmented": found.augmented,
    }


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _table(settings: dict[str, Any], section: str) -> dict[str, Any]:
    table = settings.get(section)
    return table if isinstance(table, dict) else {}
