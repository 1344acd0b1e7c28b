"""What an evaluation has found so far, batch by batch, so that it can go on where it was broken off."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from domcli import files
from domcli.errors import StorageError


class Batch(msgspec.Struct, frozen=True):
    """What a stage found of some images, by their places in the run's test set; `seconds` that it took."""

    stage: str
    images: list[int]
    correct: list[bool]
    seconds: float


class Findings:
    """The file of what was found. One writer at a time; whatever a crash has left behind its last whole line is cut."""

    def __init__(self, folder: Path) -> None:
        """Open what lies in the folder of an evaluation. Raises StorageError."""
        self._path = folder / "images.jsonl"
        self._correct: dict[str, dict[int, bool]] = {}
        self._size = 0
        self.seconds = 0.0
        """That all of it took, over all sittings."""
        try:
            self._file = files.open_own(self._path, os.O_RDWR | os.O_APPEND)
            with os.fdopen(self._file, "rb", closefd=False) as file:
                content = files.read_rest(file, self._path, files.LARGE)
            for batch, size in _whole(content):
                self._note(batch, size)
            os.ftruncate(self._file, self._size)
        except OSError as error:
            raise StorageError(f"cannot write {self._path}: {error.strerror}") from error

    def of(self, stage: str) -> dict[int, bool]:
        """Return whether the images that a stage is done with were still classified correctly after it."""
        return self._correct.get(stage, {})

    def add(self, batch: Batch) -> None:
        """Keep what was found of a batch: one line, one write. Raises StorageError; the file is then as it was."""
        line = msgspec.json.encode(batch) + b"\n"
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise StorageError(f"cannot write {self._path}: {error.strerror}") from error
        if written < len(line):
            os.ftruncate(self._file, self._size)
            raise StorageError(f"cannot write {self._path}: No space left on device")
        self._note(batch, written)

    def close(self) -> None:
        os.close(self._file)

    def _note(self, batch: Batch, size: int) -> None:
        self._correct.setdefault(batch.stage, {}).update(zip(batch.images, batch.correct, strict=True))
        self.seconds += batch.seconds
        self._size += size


def _whole(content: bytes) -> Iterator[tuple[Batch, int]]:
    """Yield the batches, and the bytes of their lines, as far as the file is in order."""
    for line in content.splitlines(keepends=True):
        try:
            batch = msgspec.json.decode(line, type=Batch)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if not line.endswith(b"\n") or len(batch.images) != len(batch.correct):
            return
        yield batch, len(line)
