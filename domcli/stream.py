"""The event stream on disk: one writer that appends whole lines, readers that keep a byte offset."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Protocol

import msgspec

from domcli import files
from domcli.errors import EventStreamError, StorageError
from domcli.events import AnyEvent, decode, encode

TAIL_BYTES = 1 << 16
PROGRESS = b'{"kind":"progress",'
"""How `encode` begins a progress event."""


class EventSink(Protocol):
    """Takes events, to be written now or in a moment."""

    def write(self, event: AnyEvent) -> object:
        """Take an event. Raises what stands in the way of writing."""


class NoSink:
    """Takes events and keeps none: for who measures the training and has no run."""

    def write(self, _event: AnyEvent) -> None:
        """Take an event."""


class EventWriter:
    """Appends events: one event, one line, one write. There must be one writer at a time (see RunDirectory.lock)."""

    def __init__(self, path: Path) -> None:
        """Open the stream for appending; a torn last line (a crash in the middle of a write) is cut off.

        Raises StorageError if the file cannot be opened for writing.
        """
        self._path = path
        try:
            self._file = files.open_own(path, os.O_RDWR | os.O_APPEND)
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error.strerror}") from error
        self._size = self._cut_torn_line()
        self._seq = _last_seq(self._file, self._size) + 1

    def write(self, event: AnyEvent) -> AnyEvent:
        """Number the event, stamp it with the time unless it brings its own, append it, and return it as written.

        Raises StorageError if it could not be written whole; the stream then ends with the line before.
        """
        stamped = msgspec.structs.replace(event, time=event.time or time.time(), seq=self._seq)
        line = encode(stamped)
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise StorageError(f"cannot write {self._path}: {error.strerror}") from error
        if written < len(line):
            os.ftruncate(self._file, self._size)
            raise StorageError(f"cannot write {self._path}: No space left on device")
        self._size += written
        self._seq += 1
        return stamped

    def sync(self) -> None:
        """Have the events so far survive a power failure. Raises StorageError."""
        try:
            os.fsync(self._file)
        except OSError as error:
            raise StorageError(f"cannot write {self._path}: {error.strerror}") from error

    @property
    def size(self) -> int:
        """Bytes of the stream so far."""
        return self._size

    @property
    def seq(self) -> int:
        """Number of the next event."""
        return self._seq

    def close(self) -> None:
        os.close(self._file)

    def _cut_torn_line(self) -> int:
        size = os.fstat(self._file).st_size
        position = size
        while position > 0:
            start = max(0, position - TAIL_BYTES)
            newline = os.pread(self._file, position - start, start).rfind(b"\n")
            if newline >= 0:
                position = start + newline + 1
                break
            position = start
        if position < size:
            os.ftruncate(self._file, position)
        return position


def next_seq(path: Path) -> int:
    """Return the number that the next event of a stream gets. Raises OSError if there is one that cannot be read."""
    try:
        with files.open_bytes(path) as file:
            return _last_seq(file.fileno(), os.fstat(file.fileno()).st_size) + 1
    except FileNotFoundError:
        return 0


def _last_seq(file: int, size: int) -> int:
    start = max(0, size - TAIL_BYTES)
    for line in reversed(os.pread(file, size - start, start).splitlines()):
        try:
            seq = msgspec.json.decode(line).get("seq")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, AttributeError):
            continue
        if isinstance(seq, int) and seq >= 0:
            return seq
    return -1


class EventReader:
    """Reads what was appended since the last call; a line without its newline waits for the next call."""

    def __init__(self, path: Path, offset: int = 0, line: int = 0, *, skim: bool = False) -> None:
        """Read from a byte on, with which the line of number `line` + 1 begins.

        With `skim`, of the progress events only the last of each call is looked at: they are most of a stream.
        """
        self._path = path
        self._skim = skim
        self._offset = offset
        self._line = line
        self._held: list[AnyEvent] = []

    @property
    def line(self) -> int:
        """How many lines have been read."""
        return self._line

    def read(self) -> list[AnyEvent]:
        """Return the new events, unknown kinds left out.

        Raises EventStreamError, with file and line, for a damaged line, a newer schema or an unreadable file. What
        was read around a damaged line is not lost: the next call returns it.
        """
        lines = self._new_bytes().split(b"\n")[:-1]
        events, self._held = self._held, []
        problem: EventStreamError | None = None
        last_progress = _last_progress(lines) if self._skim else 0
        for number, line in enumerate(lines):
            self._line += 1
            self._offset += len(line) + 1
            if number < last_progress and line.startswith(PROGRESS):
                continue
            try:
                event = decode(line)
            except EventStreamError as error:
                problem = problem or EventStreamError(f"{self._path}, line {self._line}: {error}")
            else:
                if event is not None:
                    events.append(event)
        if problem is not None:
            self._held = events
            raise problem
        return events

    def _new_bytes(self) -> bytes:
        try:
            with files.open_bytes(self._path) as file:
                file.seek(self._offset)
                return files.read_rest(file, self._path, files.LARGE)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise EventStreamError(f"cannot read {self._path}: {error.strerror}") from error


def _last_progress(lines: list[bytes]) -> int:
    return next((number for number in reversed(range(len(lines))) if lines[number].startswith(PROGRESS)), 0)
