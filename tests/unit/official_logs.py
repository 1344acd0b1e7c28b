"""Logs in the format of the official implementation, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

COLUMNS = {
    "none": ["Train NA", "Test NA"],
    "pgd": ["Train NA", "Train RO", "Test NA", "Test RO"],
    "fgsm": ["Train NA", "Train FGSM", "Train RO", "Test NA", "Test FGSM", "Test RO"],
}
RATES = {"none": (0.1, 0.1, 0.01, 0.001), "pgd": (0.1, 0.1, 0.01, 0.001), "fgsm": (0.1, 0.2, 0.1, 0.0)}
"""Learning rates of four epochs."""

DEFAULTS: dict[str, Any] = {
    "model": "PreActResNet18",
    "batch_size": 128,
    "batch_size_test": 128,
    "data_dir": "../cifar-data",
    "epochs": 4,
    "lr_schedule": "piecewise",
    "lr_max": 0.1,
    "attack": "pgd",
    "restarts": 1,
    "epsilon": 8,
    "pgd_alpha": 2,
    "pgd_step_train": 10,
    "pgd_step_test": 20,
    "fgsm_alpha": 10,
    "norm": "l_inf",
    "fname": "PGD_DOM_RE",
    "seed": 0,
    "width_factor": 10,
    "resume": 0,
    "eval": False,
    "chkpt_iters": 1000,
    "clamp": 1.5,
    "operate": "RE",
    "max_arg_iteration": 0,
    "arg_strength": 0.0,
}


def arguments(**changes: Any) -> dict[str, Any]:
    """The arguments of a run of four epochs; FGSM with its own peak rate."""
    return {**DEFAULTS, "lr_max": 0.2 if changes.get("attack") == "fgsm" else 0.1, **changes}


def stamp(minute: int) -> str:
    return f"[2024/03/05 07:{minute:02}:09] - "


def opening(minute: int = 0, **changes: Any) -> list[str]:
    """The lines before the first epoch."""
    given = arguments(**changes)
    columns = "".join(f" \t {column} Loss \t {column} Acc" for column in COLUMNS.get(given["attack"], []))
    listed = ", ".join(f"{name}={value!r}" for name, value in given.items())
    lines = [f"{stamp(minute)}Namespace({listed})"]
    if given["resume"]:
        lines.append(f"{stamp(minute)}Resuming at epoch {given['resume']}")
    return [*lines, f"{stamp(minute)}V1.0.3", f"{stamp(minute)}Epoch \t Train Time \t\t Test Time \t LR \t{columns}"]


def epoch_line(epoch: int, attack: str = "pgd", accuracy: float = 0.5, lr: float | None = None, minute: int = 1) -> str:
    """The line of an epoch, from 0. The columns have losses 1.1, 1.2, ... and accuracies a hundredth apart."""
    rate = RATES[attack][epoch] if lr is None else lr
    pairs = "".join(
        f" \t {1.1 + place / 10:.4f} \t {accuracy - (len(COLUMNS[attack]) - 1 - place) / 100:.4f}"
        for place in range(len(COLUMNS[attack]))
    )
    return f"{stamp(minute + epoch)}{epoch} \t 3.1 \t \t 14.5 \t \t {rate:.4f}{pairs}"


def whole_log(accuracies: Sequence[float] = (0.5, 0.6, 0.6, 0.55), **changes: Any) -> list[str]:
    """A log whose last column, by which the best is chosen, has these accuracies."""
    attack = changes.get("attack", "pgd")
    return [*opening(**changes), *(epoch_line(epoch, attack, value) for epoch, value in enumerate(accuracies))]


def write(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path
