"""What was measured on this machine, kept for the next runs: a JSON object by key, in a file of the cache folder."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from domcli.cachedir import cache_directory
from domcli.rundir import replace_text
from domcli.trainer import device as devices

if TYPE_CHECKING:
    from domcli.trainer.state import Training


def conditions(training: Training, *others: object) -> str:
    """Return the key of what was measured for networks and batches like a run's, on such a device; with `others`."""
    model, images = training.settings.model, training.dataset.train.images
    network = (model.name, model.width, tuple(images.shape[1:]), training.settings.train.batch_size)
    return " | ".join(map(str, (devices.name(training.device), torch.__version__, *network, *others)))


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
    with suppress(OSError, ValueError):
        found = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    return {}
