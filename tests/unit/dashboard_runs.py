"""Runs as the dashboard lists them, without files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from domcli.dashboard.model import Listed
from domcli.events import EpochEnd, Failed, Started, TestMetrics, TrainMetrics
from domcli.overfitting import Finding
from domcli.rundir import RunDirectory
from domcli.runs import Run
from domcli.runstate import RunState, Status


def epoch(number: int, pgd: float | None = 0.5, *, best: bool = False, natural: float = 0.8) -> EpochEnd:
    """An evaluated epoch of ten seconds."""
    return EpochEnd(
        epoch=number,
        lr=0.1,
        train=TrainMetrics(natural_loss=1.0, natural_accuracy=0.5),
        test=TestMetrics(natural_loss=1.0, natural_accuracy=natural, pgd_accuracy=pgd),
        train_attack=None,
        memorization=None,
        best=best,
        train_seconds=9.0,
        test_seconds=1.0,
        images_per_second=100.0,
        memory=None,
    )


def started(epochs: int) -> Started:
    return Started(
        settings_digest="0" * 16,
        device="cuda:0",
        device_name="a GPU",
        precision="float32",
        train_size=1000,
        test_size=200,
        classes=10,
        image_shape=(3, 32, 32),
        parameters=12345,
        epochs=epochs,
        steps_per_epoch=8,
    )


def listed(
    name: str,
    status: Status = "finished",
    *,
    epochs: tuple[EpochEnd, ...] = (),
    of: int = 10,
    preset: str = "pgd-dom-re",
    seed: int = 0,
    findings: tuple[Finding, ...] = (),
    failed: Failed | None = None,
    settings: dict[str, Any] | None = None,
    **more: Any,
) -> Listed:
    """A run of a list, of the group of its preset."""
    state = RunState(started=started(of), epochs=epochs, closing=failed)
    tables = settings or {"train": {"epochs": of, "seed": seed}, "evaluation": {"attack": "pgd", "steps": 20}}
    run = Run(RunDirectory(Path("/runs") / name), state, status, settings=tables, preset=preset)
    return Listed(run, findings, **{"group": preset, "title": preset, **more})
