"""What was measured on this machine, kept for the next runs: a JSON object by key, in a file of the cache folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from domcli import files, locks
from domcli.cachedir import cache_directory
from domcli.files import replace_text
from domcli.trainer import device as devices
from domcli.trainer.state import Training


def conditions(training: Training, *others: object) -> str:
    """Return the key of what was measured for networks and batches like a run's, on such a device; with `others`."""
    model, images = training.settings.model, training.dataset.train.images
    network = (model.name, model.width, tuple(images.shape[1:]), training.settings.train.batch_size)
    return " | ".join(map(str, (devices.name(training.device), torch.__version__, *network, *others)))


@contextmanager
def one_at_a_time(device: torch.device) -> Iterator[None]:
    """Keep the user's other runs from measuring on a device meanwhile; wait while one of them does.

    Where nothing can be kept in the cache folder there is nothing to wait for.
    """
    name = "cpu" if device.type == "cpu" else torch.cuda.get_device_properties(device).uuid
    handle = None
    with suppress(OSError):
        cache_directory().mkdir(parents=True, exist_ok=True)
        handle = os.open(_file(f"measuring-{name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        locks.wait_and_lock(handle)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def recall(name: str, key: str) -> object:
    """Return what file `name` keeps under a key; None if there is nothing, or nothing that can be read."""
    return _all(_file(name)).get(key)


def remember(name: str, key: str, value: object) -> None:
    """Keep a value under a key; where that is impossible, the next run measures again."""
    file = _file(name)
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_text(file, json.dumps({**_all(file), key: value}, indent=1), durable=False)


def _file(name: str) -> Path:
    return cache_directory() / name


def _all(file: Path) -> dict[str, object]:
    with suppress(OSError, ValueError, RecursionError):
        found = json.loads(files.read_text(file))
        if isinstance(found, dict):
            return found
    return {}
