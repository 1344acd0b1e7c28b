"""Run directories made from a recording of FGSM training that collapses at epoch 8 (tests/data/collapsing.jsonl)."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from domcli import rundir
from domcli.events import AnyEvent, EpochEnd, Progress, decode, encode
from domcli.rundir import RunDirectory
from domcli.settings import Settings

RECORDING = Path(__file__).resolve().parents[1] / "data" / "collapsing.jsonl"


def events(epochs: int = 20) -> list[AnyEvent]:
    """Return the events of the first epochs, of 30 planned ones."""
    found = [event for line in RECORDING.read_bytes().splitlines() if (event := decode(line)) is not None]
    return [event for event in found if not isinstance(event, EpochEnd | Progress) or event.epoch <= epochs]


def make(name: str, seed: int = 0, epochs: int = 20, *more: AnyEvent, runs_dir: Path = Path("runs")) -> RunDirectory:
    """Create a run that did so many epochs, and had these events a second apart after them."""
    settings = {
        "train": {"epochs": 30, "seed": seed, "max_lr": 0.2, "schedule": "cyclical"},
        "attack": {"name": "fgsm", "epsilon": 16, "alpha": 20},
        "dom": {"operate": "none", "threshold": 2.0},
        "evaluation": {"steps": 10},
    }
    resolved = Settings.model_validate(settings).to_dict()
    run = rundir.create(runs_dir, name, resolved, {"preset": "fgsm-baseline", "domcli": "1.2.3"})
    os.utime(run.settings, (1e9 + seed, 1e9 + seed))
    recorded = events(epochs)
    last = recorded[-1].time
    stamped = [msgspec.structs.replace(event, time=last + number + 1) for number, event in enumerate(more)]
    run.events.write_bytes(b"".join(map(encode, [*recorded, *stamped])))
    return run


def end_of_epoch(number: int) -> float:
    """Return when an epoch ended, in seconds after the start."""
    recorded = events()
    end = next(event for event in recorded if isinstance(event, EpochEnd) and event.epoch == number)
    return end.time - recorded[0].time
