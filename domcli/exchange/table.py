"""Epochs as flat rows: the fields of the epoch event, sections and keys joined by dots."""

from __future__ import annotations

import csv
import functools
import io
import typing
from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Any

import msgspec

from domcli.errors import RunDirectoryError
from domcli.events import LOSS_RANGES, EpochEnd, Event
from domcli.printable import cell
from domcli.rundir import RunDirectory
from domcli.runstate import RunState

ABOUT_THE_RUN = ("run", "path", "preset", "seed")
"""Columns before those of the event: name, absolute path, preset and seed of the run."""


@functools.cache
def event_columns() -> tuple[str, ...]:
    """Return the columns of an epoch: `epoch`, `time`, `lr`, `train.natural_loss`, `memorization.histogram.0`, ...

    The counts of the histogram are by loss range (LOSS_RANGES), from 0. The columns are those of the event whatever a
    run measured, so that all runs have the same.
    """
    common = (*Event.__struct_fields__, "epoch")
    return ("epoch", "time", *(name for name in _flat_names(EpochEnd) if name not in common))


def values(epoch: EpochEnd) -> dict[str, Any]:
    """Return what was measured in an epoch by column; what was not is left out."""
    found = dict(_flatten("", msgspec.to_builtins(epoch)))
    return {name: found[name] for name in event_columns() if found.get(name) is not None}


def csv_text(runs: Sequence[tuple[RunDirectory, RunState]]) -> str:
    """Return one row per run and epoch under one header; cells of what was not measured are empty.

    Losses are in nats, accuracies fractions, times seconds (`time` since 1970), `best` is true or false.
    """
    columns = event_columns()
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*ABOUT_THE_RUN, *columns])
    for directory, state in runs:
        about = [directory.name, str(directory.path.absolute()), _preset(directory), _seed(directory)]
        for epoch in state.epochs:
            measured = values(epoch)
            writer.writerow([_cell(value) for value in [*about, *(measured.get(name) for name in columns)]])
    return out.getvalue()


def _flat_names(kind: Any) -> Iterator[str]:
    for field in msgspec.structs.fields(kind):
        inner = [part for part in _alternatives(field.type) if msgspec.inspect.is_struct_type(part)]
        if inner:
            yield from (f"{field.name}.{name}" for name in _flat_names(inner[0]))
        elif typing.get_origin(field.type) is tuple:
            yield from (f"{field.name}.{index}" for index in range(len(LOSS_RANGES)))
        else:
            yield field.name


def _alternatives(kind: Any) -> tuple[Any, ...]:
    return typing.get_args(kind) if isinstance(kind, UnionType) or typing.get_origin(kind) is typing.Union else (kind,)


def _flatten(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _flatten(f"{prefix}.{name}" if prefix else name, part)
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield f"{prefix}.{index}", part
    else:
        yield prefix, value


def _preset(directory: RunDirectory) -> str | None:
    preset = directory.read_environment().get("preset")
    return preset if isinstance(preset, str) else None


def _seed(directory: RunDirectory) -> int | None:
    try:
        train = directory.read_settings().get("train")
    except RunDirectoryError:  # the run is exported all the same, as far as it can be read
        return None
    seed = train.get("seed") if isinstance(train, dict) else None
    return seed if isinstance(seed, int) else None


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return cell(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
