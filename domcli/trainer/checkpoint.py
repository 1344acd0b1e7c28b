"""Checkpoints: safetensors files, so reading one never executes code; written aside, flushed, then renamed.

Every file holds the network's weights under their plain names. `last` also holds, under `resume.`, what an exact
resume needs: momentum, the memorization record and the sums of a broken-off epoch. Random states are not among them:
every draw is a function of seed, epoch and step (see seeding).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from domcli.errors import CheckpointError, StorageError
from domcli.rundir import RunDirectory
from domcli.settings import Settings
from domcli.trainer.state import Training

SCHEMA = 1
RESUME = "resume."
COUNTERS = ("epoch", "step", "best", "seconds", "epoch_seconds")


def save_last(run: RunDirectory, training: Training) -> Path:
    """Write the state that a resume goes on from."""
    tensors = dict(training.classifier.network.state_dict())
    for name, velocity in _velocities(training):
        tensors[f"{RESUME}momentum.{name}"] = velocity
    for name, value in training.record.tensors().items():
        tensors[f"{RESUME}record.{name}"] = value
    tensors[f"{RESUME}meter"] = training.meter.sums
    return _write(run.checkpoint("last"), tensors, training, {})


def save_weights(run: RunDirectory, label: str, training: Training, about: dict[str, Any]) -> Path:
    """Write the network's weights alone; `about` is kept beside them (the epoch's accuracies)."""
    return _write(run.checkpoint(label), dict(training.classifier.network.state_dict()), training, about)


def restore_last(run: RunDirectory, training: Training) -> None:
    """Take up the state of checkpoints/last. Raises CheckpointError if it is damaged or of other settings."""
    path = run.checkpoint("last")
    about = read_about(path)
    if about.get("settings") != _fingerprint(training.settings):
        raise CheckpointError(f"{path} was written with other settings than settings.toml; it cannot be resumed")
    try:
        tensors = load_file(path)
        training.classifier.network.load_state_dict(_without_prefix(tensors))
        _restore_resume_tensors(tensors, training)
        for counter in COUNTERS:
            setattr(training, counter, about[counter])
    except (SafetensorError, KeyError, RuntimeError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({str(error).splitlines()[0]}); it cannot be resumed") from error


def read_about(path: Path) -> dict[str, Any]:
    """Return what stands beside the weights: epoch, step, accuracies. Raises CheckpointError if it cannot be read."""
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {})["domcli"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path} is not a readable domcli checkpoint: {error}") from error
    if not isinstance(about, dict) or about.get("schema", 0) > SCHEMA:
        raise CheckpointError(f"{path} was written by a newer domcli; upgrade domcli")
    return about


def load_weights(path: Path, network: nn.Module) -> None:
    """Load the weights of any checkpoint into a network of the same architecture."""
    network.load_state_dict(_without_prefix(load_file(path)))


def _write(path: Path, tensors: dict[str, Tensor], training: Training, about: dict[str, Any]) -> Path:
    about = {
        **about,
        "schema": SCHEMA,
        "settings": _fingerprint(training.settings),
        **{counter: getattr(training, counter) for counter in COUNTERS},
    }
    aside = path.with_name(f".{path.name}-new")
    try:
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
            aside,
            metadata={"domcli": json.dumps(about)},
        )
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.chmod(0o644)
        aside.replace(path)
    except (OSError, SafetensorError) as error:
        aside.unlink(missing_ok=True)
        full = "No space left" in str(error)
        reason = "the disk is full; make room, then resume" if full else str(error)
        raise StorageError(f"cannot write the checkpoint {path}: {reason}") from error
    return path


def _restore_resume_tensors(tensors: dict[str, Tensor], training: Training) -> None:
    for name, velocity in _velocities(training):
        velocity.copy_(tensors[f"{RESUME}momentum.{name}"])
    training.record.restore(
        {name: tensors[f"{RESUME}record.{name}"] for name in training.record.tensors()},
    )
    training.meter.sums.copy_(tensors[f"{RESUME}meter"])


def _velocities(training: Training) -> Iterator[tuple[str, Tensor]]:
    names = (name for name, _ in training.classifier.network.named_parameters())
    return zip(names, training.optimizer.velocity, strict=True)


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in tensors.items() if not name.startswith(RESUME)}


def _fingerprint(settings: Settings) -> str:
    return f"{settings.digest()}-seed{settings.train.seed}"
