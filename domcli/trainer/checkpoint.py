"""Checkpoints: safetensors files, so reading one never executes code; written aside, flushed, then renamed.

Every file holds the network's weights under their plain names. `last` also holds, under `resume.`, what an exact
resume needs: momentum, the memorization record and the sums of a broken-off epoch. Random states are not among them:
every draw is a function of seed, epoch and step (see seeding).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from domcli import checkpoints, files
from domcli.errors import CheckpointError, StorageError
from domcli.rundir import RunDirectory
from domcli.trainer.failure import STORAGE
from domcli.trainer.memorization import THRESHOLD
from domcli.trainer.snapshot import Snapshot
from domcli.trainer.state import Training

RESUME = "resume."
MOST = 2**53
"""Of what is counted."""
COUNTERS = ("epoch", "step", "best", "seconds", "epoch_seconds")
DTYPES = {torch.float64: "F64", torch.int64: "I64", torch.float32: "F32", torch.bool: "BOOL"}
"""What safetensors calls the types that occur."""


def weights_of(training: Training) -> dict[str, Tensor]:
    """Return the network's weights."""
    return training.classifier.weights(training.batches)


def state_of(training: Training) -> dict[str, Tensor]:
    """Return everything that a resume goes on from, the weights among it."""
    tensors = weights_of(training)
    for name, velocity in _velocities(training):
        tensors[f"{RESUME}momentum.{name}"] = velocity
    for name, value in training.record.tensors().items():
        tensors[f"{RESUME}record.{name}"] = value
    tensors[f"{RESUME}meter"] = training.meter.sums
    return tensors


def about(training: Training) -> dict[str, Any]:
    """Return what stands beside the tensors of this moment."""
    counters = {counter: getattr(training, counter) for counter in COUNTERS}
    return {"schema": checkpoints.SCHEMA, "settings": training.settings.fingerprint(), **counters}


def write_last(path: Path, snapshot: Snapshot) -> None:
    """Write a snapshot of everything. Raises StorageError; the file of before is then whole."""
    _write(path, snapshot.tensors(), snapshot.about)


def write_weights(path: Path, snapshot: Snapshot, also: Mapping[str, Any]) -> None:
    """Write the weights of a snapshot alone, `also` beside them. Raises StorageError (see `write_last`)."""
    _write(path, _without_prefix(snapshot.tensors()), {**also, **snapshot.about})


def restore_last(run: RunDirectory, training: Training) -> None:
    """Take up the state of checkpoints/last. Raises CheckpointError if it is damaged or of other settings."""
    path = run.checkpoint("last")
    about = checkpoints.about_last(run, training.settings)
    try:
        tensors = _loaded(path)
        training.classifier.network.load_state_dict(_without_prefix(tensors))
        _restore_resume_tensors(tensors, training)
        for counter in COUNTERS:
            setattr(training, counter, _counted(training, counter, about[counter]))
    except (SafetensorError, KeyError, RuntimeError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({str(error).splitlines()[0]}); it cannot be resumed") from error


def load_weights(path: Path, network: nn.Module) -> None:
    """Load the weights of any checkpoint into a network of the same architecture."""
    network.load_state_dict(_without_prefix(_loaded(path)))


def _loaded(path: Path) -> dict[str, Tensor]:
    files.open_bytes(path).close()  # nothing but a regular file is mapped
    return load_file(path)


def _write(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    try:
        files.replace(path, lambda file: file.writelines(_pieces(tensors, about)))
    except OSError as error:
        reason = STORAGE.get(error.errno or 0, str(error))
        raise StorageError(f"cannot write the checkpoint {path}: {reason}") from error


def _pieces(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> Iterator[Any]:
    """Return the bytes of a safetensors file: size of the header, header, and the memory of every tensor as it is.

    safetensors' own function would copy all of it first, and hold Python's lock meanwhile, which the training needs.
    """
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))  # all are aligned then
    header: dict[str, Any] = {"__metadata__": {"domcli": json.dumps(about)}}
    end = 0
    for name, value in ordered:
        begin, end = end, end + value.nbytes
        header[name] = {"dtype": DTYPES[value.dtype], "shape": list(value.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for _, value in ordered:
        yield value.flatten().view(torch.uint8).numpy()


def _counted(training: Training, name: str, value: object) -> int | float:
    """Return what a checkpoint says of a counter. Raises RuntimeError for what cannot be one."""
    whole = isinstance(getattr(training, name), int)
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not 0 <= value <= MOST:
        raise RuntimeError(f"its {name} is not a count")
    return value


def _restore_resume_tensors(tensors: dict[str, Tensor], training: Training) -> None:
    kept = training.record.tensors()
    if f"{RESUME}record.{THRESHOLD}" not in tensors:
        del kept[THRESHOLD]
    for name, value in kept.items():
        found = tensors[f"{RESUME}record.{name}"]
        if (found.shape, found.dtype) != (value.shape, value.dtype):
            raise RuntimeError(f"its {RESUME}record.{name} has another form")
    for name, velocity in _velocities(training):
        velocity.copy_(tensors[f"{RESUME}momentum.{name}"])
    training.record.restore({name: tensors[f"{RESUME}record.{name}"] for name in kept})
    training.meter.sums.copy_(tensors[f"{RESUME}meter"])


def _velocities(training: Training) -> Iterator[tuple[str, Tensor]]:
    names = (name for name, _ in training.classifier.network.named_parameters())
    return zip(names, training.optimizer.velocity, strict=True)


def _without_prefix(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in tensors.items() if not name.startswith(RESUME)}
