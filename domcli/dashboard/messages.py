"""What threads tell the screen."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message

from domcli.dashboard.model import Snapshot, System


@dataclass
class SnapshotRead(Message):
    """The runs were looked at, and something has changed."""

    snapshot: Snapshot


@dataclass
class SystemRead(Message):
    """The GPUs were looked at."""

    system: System


@dataclass
class ReadingFailed(Message):
    """Something went wrong that should not."""

    problem: str


@dataclass
class Steered(Message):
    """Something was done to runs: `done` says what (empty: nothing was), `problems` what stood in the way."""

    done: str
    problems: tuple[str, ...] = ()
    show: str | None = None
    """Name of a run to put the cursor on, once it is listed."""
