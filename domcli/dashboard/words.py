"""How runs are put into words: states, times, accuracies, sentences."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

from domcli import amounts
from domcli.dashboard.model import Listed
from domcli.events import Failed, Stopped
from domcli.plural import counted
from domcli.runs import Run
from domcli.runstate import Status

MISSING = "–"

ATTENTION: tuple[Status, ...] = ("running", "starting", "queued", "failed", "lost", "stopped", "finished")
"""States, those that ask for attention first."""

SIGNS: dict[Status, str] = {
    "running": "▶",
    "starting": "▷",
    "queued": "○",
    "failed": "✗",
    "lost": "?",
    "stopped": "■",
    "finished": "✓",
}


CAUSES = {
    "out-of-memory": "no memory",
    "non-finite-loss": "diverged",
    "storage": "disk full",
    "device": "no device",
    "refused": "refused",
    "error": "failed",
}
"""Why a run failed, in a word or two."""
PHASES = {"train": "training", "test": "evaluating", "attack-train": "attacking the training set"}


def percent(fraction: float | None, decimals: int = 1) -> str:
    """Return a fraction in percent, without the sign."""
    return MISSING if fraction is None else f"{100 * fraction:.{decimals}f}"


def count(value: int | None) -> str:
    """Return a count with thousands apart."""
    return MISSING if value is None else f"{value:,}"


def duration(seconds: float | None) -> str:
    """Return a time as M:SS, H:MM:SS, or days and hours."""
    if seconds is None:
        return MISSING
    found = amounts.split(seconds)
    if found is None:
        return amounts.UNKNOWN
    if found.days:
        return f"{found.days} d {found.hours} h"
    text = f"{found.minutes:02}:{found.seconds:02}"
    return f"{found.hours}:{text}" if found.hours else text.removeprefix("0")


def size(count: float) -> str:
    """Return bytes with a unit."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def remaining(run: Run) -> float | None:
    """Return the seconds that a running run will still take."""
    return run.state.remaining_seconds() if run.status == "running" else None


def attack_name(run: Run) -> str:
    """Return what the headline accuracy is of: `PGD-20`, or `natural`."""
    evaluation = run.settings.get("evaluation")
    evaluation = evaluation if isinstance(evaluation, dict) else {}
    return "natural" if evaluation.get("attack") == "none" else f"PGD-{evaluation.get('steps', '?')}"


def what_happened(run: Run) -> str | None:
    """Return what is wrong with a run, in a sentence: it cannot be read, why it failed, how its trainer was lost."""
    if run.problem is not None:
        return run.problem
    if isinstance(run.state.closing, Failed) and run.status in ("failed", "queued"):
        return run.state.closing.reason
    if run.status == "stopped" and isinstance(run.state.closing, Stopped):
        return re.sub(r"^asked to by SIG\w+$", "stopped on request", run.state.closing.reason)
    if run.status != "lost":
        return None
    if run.process is None:
        return "not in the queue, and no trainer is known"
    code = run.process.exit_code
    if code is None:
        return "its trainer is gone and has not said why"
    return f"its trainer was killed by {_signal(-code)}" if code < 0 else f"its trainer ended with exit code {code}"


def cause(run: Run) -> str:
    """Return why a run failed in a word or two, empty if it did not."""
    closing = run.state.closing
    return CAUSES[closing.cause] if run.status == "failed" and isinstance(closing, Failed) else ""


def sentence(one: Listed) -> str:
    """Return what a run is doing."""
    run, total = one.run, one.run.total_epochs
    done = run.state.epochs_done
    if run.status == "queued":
        place = f"place {one.place} in the queue" if one.place else "in the queue"
        devices = " or ".join(device.name for device in run.ticket.devices) if run.ticket else ""
        why = f"; {one.waits}" if one.waits else ""
        return f"{place}, for {devices}{why}" if devices else place
    if run.status == "starting":
        return f"starting on {run.device}" if run.device else "starting"
    if run.status == "running":
        progress = run.state.progress
        if progress is None or progress.epoch <= done:
            return f"epoch {done + 1} of {total or '?'}"
        share = amounts.share(progress.step, progress.steps)
        return f"epoch {progress.epoch} of {total or '?'}, {PHASES[progress.phase]} {share}"
    if run.status == "finished":
        return f"finished after {counted(done, 'epoch')}"
    return f"{run.status} after {done} of {counted(total, 'epoch') if total else '? epochs'}"


def badges(one: Listed) -> str:
    """Return the badges of what the overfitting watch found, each once."""
    return " ".join(dict.fromkeys(finding.badge for finding in one.findings))


def counts(runs: Sequence[Listed]) -> list[tuple[Status, int]]:
    """Return how many runs are in each state, those that ask for attention first."""
    found = [one.run.status for one in runs]
    return [(state, found.count(state)) for state in ATTENTION if state in found]


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
