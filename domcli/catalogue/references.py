"""How settings name the files that extend the catalogue: by path and, once it is known, by the SHA-256 of the file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

MARK = "#sha256="
FOLDER = "extensions"
"""Of a run directory, with a copy of each file that it was made with."""


def split(reference: str) -> tuple[str, str]:
    """Return the path of a reference, and the SHA-256 that its file must have, empty where it does not say."""
    path, _, digest = reference.partition(MARK)
    return path, digest


def of_copies(references: Iterable[str]) -> list[str]:
    """Return references as a run names its copies: they say the same wherever the files were."""
    return [f"{FOLDER}/{Path(path).name}{MARK}{digest}" for path, digest in map(split, references)]
