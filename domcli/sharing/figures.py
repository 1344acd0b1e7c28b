"""What `domcli bench --together` has measured, kept for each user in the cache; it may be deleted at any time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from domcli import files
from domcli.cachedir import cache_directory
from domcli.catalogue import DATASETS
from domcli.catalogue.objectives import CROSS_ENTROPY
from domcli.files import replace_text

if TYPE_CHECKING:
    from domcli.settings import Settings

NEAR_BEST = 0.95
"""Fewer trainers are preferred to more as long as they reach this share of the best total rate."""


class Together(msgspec.Struct, frozen=True, kw_only=True):
    """So many trainers at the same time."""

    trainers: int
    images_per_second: float
    """Of all of them together."""
    memory: int | None
    """Bytes of the device that each takes; None where that could not be told."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured under some conditions."""

    device: str
    """Product name."""
    cores: int | None
    """CPU cores that the trainers shared; None on a GPU."""
    mps: bool
    """Whether NVIDIA's Multi-Process Service mixed their work."""
    paradigm: str
    """As `attack.name` in the settings."""
    model: str
    width: int
    batch_size: int
    precision: str
    torch: str
    domcli: str
    date: str
    together: tuple[Together, ...]

    @property
    def conditions(self) -> tuple[object, ...]:
        """What newer figures must have in common with these to take their place."""
        network = (self.model, self.width, self.batch_size, self.precision)
        return (self.device, self.cores, self.mps, self.paradigm, *network, self.torch)

    def are_of(self, settings: Settings) -> bool:
        """Tell whether steps of these settings are like those that were measured, with the PyTorch of now."""
        dataset = DATASETS.get(settings.data.dataset)
        return (
            self.paradigm == settings.attack.name
            and self.model == settings.model.name
            and self.width == settings.model.width
            and self.batch_size == settings.train.batch_size
            and settings.train.precision in ("auto", self.precision)
            and dataset is not None
            and dataset.is_benched
            and settings.train.objective == CROSS_ENTROPY
            and self.torch == torch_version()
        )


def best(together: Sequence[Together], memory: int | None) -> int:
    """Return the fewest trainers whose total rate is near the best of those that fit into `memory` bytes; else 1."""
    most = max((one.memory or 0 for one in together), default=0)
    fitting = [one for one in together if memory is None or one.trainers * most <= memory]
    highest = max((one.images_per_second for one in fitting), default=0.0)
    return min((one.trainers for one in fitting if one.images_per_second >= NEAR_BEST * highest), default=1)


def file() -> Path:
    """Return where figures are kept."""
    return cache_directory() / "together.json"


def recall() -> list[Figures]:
    """Return all figures that are kept; what cannot be read counts as not measured."""
    found = []
    with suppress(OSError, ValueError, RecursionError):
        entries = json.loads(files.read_text(file()))
        for entry in entries if isinstance(entries, list) else ():
            with suppress(msgspec.ValidationError):
                found.append(msgspec.convert(entry, Figures))
    return found


def remember(figures: Figures) -> None:
    """Keep figures in place of earlier ones of the same conditions. Raises OSError."""
    kept = [one for one in recall() if one.conditions != figures.conditions]
    file().parent.mkdir(parents=True, exist_ok=True)
    replace_text(file(), json.dumps(msgspec.to_builtins([*kept, figures]), indent=1) + "\n", durable=False)


@cache
def torch_version() -> str:
    """Return the version of PyTorch that is installed, without loading it; empty if there is none."""
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return ""
