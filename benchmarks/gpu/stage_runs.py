"""Runs through the command line, and what their directories say of them; no torch."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from domcli.presets import from_run
from domcli.rundir import RunDirectory
from domcli.runs import read_run
from domcli.runstate import RunState

STEPS = {"cuda": "CUDA graphs", "cpu": "one operation at a time"}
"""What environment.json says of a run's steps, as they should be."""
LOG_BYTES = 3000
ABOUT = ("device_name", "precision", "steps", "no_graphs", "network", "not_compiled", "startup")


def begin(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start `domcli run ARGUMENTS`, with its runs in `folder`; what it says goes where this process says it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "domcli", "run", *arguments, "--runs-dir", str(folder)]
    return subprocess.Popen(command, cwd=folder.parent)


def overrides(settings: Sequence[str]) -> list[str]:
    """Return settings as options of `domcli run`."""
    return [part for one in settings for part in ("--set", one)]


def problems_of(run: RunDirectory, device: str) -> Iterator[str]:
    """Tell what stands in the way of calling a run finished, and its steps done as they should be on this device."""
    seen, environment = read_run(run), run.read_environment()
    if seen.status != "finished":
        print(f"---- {run.name}: the trainer's log ends\n{_end_of(run.log)}", flush=True)
        yield f"{run.name} is {seen.status}, not finished"
    if not str(environment.get("steps", "")).startswith(STEPS[device]):
        yield f"{run.name}: steps are {environment.get('steps')!r}, not {STEPS[device]!r}"
    if environment.get("no_graphs") is not None:
        yield f"{run.name}: no graphs: {environment['no_graphs']}"
    for end in seen.state.epochs:
        losses = [end.train.natural_loss, *([end.train.robust_loss] if _is_attacked(run) else [])]
        if None in losses:
            yield f"{run.name}: a loss of epoch {end.epoch} is not finite"


def accuracies(state: RunState) -> dict[str, float | None]:
    """Return the last test accuracies, as fractions."""
    tested = [end.test for end in state.epochs if end.test is not None]
    test = tested[-1] if tested else None
    return {kind: getattr(test, f"{kind}_accuracy", None) for kind in ("natural", "pgd")}


def tested(run: RunDirectory) -> str:
    """Return the last test accuracies as they are shown, the attack named after the steps that it had."""
    found, steps = accuracies(read_run(run).state), from_run(run).evaluation.steps
    attacked = "" if found["pgd"] is None else f", PGD-{steps} {shown(found['pgd'])}"
    return f"natural {shown(found['natural'])}{attacked}"


def shown(accuracy: float | None) -> str:
    """Return an accuracy in percent."""
    return "-" if accuracy is None else f"{100 * accuracy:.1f} %"


def facts(run: RunDirectory) -> dict[str, Any]:
    """Return what is kept of a run: how it was computed, and its epochs."""
    state, environment = read_run(run).state, run.read_environment()
    return {
        **{key: environment[key] for key in ABOUT if key in environment},
        **accuracies(state),
        "train_loss": [end.train.natural_loss for end in state.epochs],
        "train_s": [end.train_seconds for end in state.epochs],
        "test_s": [end.test_seconds for end in state.epochs],
        "memory": [end.memory for end in state.epochs],
    }


def between_epochs(state: RunState) -> list[float]:
    """Return the seconds from one epoch's end to the next that were neither training nor testing: keeping, mostly."""
    pairs = zip(state.epochs, state.epochs[1:], strict=False)
    return [end.time - before.time - end.train_seconds - end.test_seconds for before, end in pairs]


def _is_attacked(run: RunDirectory) -> bool:
    return from_run(run).attack.name != "none"


def _end_of(log: Path) -> str:
    if not log.exists():
        return "(there is none)"
    with log.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - LOG_BYTES))
        return file.read().decode(errors="replace")
