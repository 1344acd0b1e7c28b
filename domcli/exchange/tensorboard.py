"""TensorBoard event files, written without TensorBoard: records (TFRecord) of protocol buffers (Event).

The format is two messages of a few fields each, and has not changed since 2015; the packages that write it load
TensorFlow or torch, or are no longer kept.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from domcli.exchange.files import require_different_names, write_file
from domcli.exchange.table import values
from domcli.rundir import RunDirectory
from domcli.runstate import RunState

FILE_VERSION = b"brain.Event:2"
NOT_SCALARS = ("epoch", "time", "best")
"""Columns that are the step, the time of the record, and a flag."""

_CASTAGNOLI = 0x82F63B78
_MASK_DELTA = 0xA282EAD8
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
"""Wire types of protocol buffers."""


def export(runs: Sequence[tuple[RunDirectory, RunState]], folder: Path) -> list[Path]:
    """Write one event file per run, `FOLDER/RUN/events.out.tfevents...`, and return the files.

    A tag is the name of a column with `/` for the dots, such as `test/pgd_accuracy`; the step is the epoch. Exporting
    a run again replaces its file. Raises ExportError for two runs of one name, StorageError if nothing can be written.
    """
    require_different_names(directory.name for directory, _ in runs)
    return [_export_run(directory, state, folder) for directory, state in runs]


def scalars_event(wall_time: float, step: int, scalars: Mapping[str, float]) -> bytes:
    """Return the message Event with a summary of scalars; wall time in seconds since 1970."""
    summary = b"".join(
        _field(1, _BYTES, _field(1, _BYTES, tag.encode()) + _field(2, _FIXED32, _single(value)))
        for tag, value in scalars.items()
    )
    return (
        _field(1, _FIXED64, struct.pack("<d", wall_time))
        + _field(2, _VARINT, _varint(step))
        + _field(5, _BYTES, summary)
    )


def first_event(wall_time: float) -> bytes:
    """Return the message Event that opens every file and names its format."""
    return _field(1, _FIXED64, struct.pack("<d", wall_time)) + _field(3, _BYTES, FILE_VERSION)


def record(message: bytes) -> bytes:
    """Return a message as a TFRecord: its length, the checksum of that, the message, its checksum."""
    length = struct.pack("<Q", len(message))
    return length + _checksum(length) + message + _checksum(message)


def crc32c(content: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of some bytes."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _export_run(directory: RunDirectory, state: RunState, folder: Path) -> Path:
    began = state.started.time if state.started else 0.0
    messages = [first_event(began)]
    for epoch in state.epochs:
        measured = values(epoch)
        scalars = {name.replace(".", "/"): measured[name] for name in measured if name not in NOT_SCALARS}
        messages.append(scalars_event(epoch.time, epoch.epoch, scalars))
    path = folder / directory.name / f"events.out.tfevents.{int(began):010d}.domcli"
    write_file(path, lambda file: file.writelines(map(record, messages)))
    return path


def _field(number: int, wire_type: int, content: bytes) -> bytes:
    key = _varint(number << 3 | wire_type)
    return key + _varint(len(content)) + content if wire_type == _BYTES else key + content


def _single(value: float) -> bytes:
    try:
        return struct.pack("<f", value)
    except OverflowError:  # beyond single precision, which is all there is room for
        return struct.pack("<f", math.copysign(math.inf, value))


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _checksum(content: bytes) -> bytes:
    crc = crc32c(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF)


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (_CASTAGNOLI if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE = _crc_table()
