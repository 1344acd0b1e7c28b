"""Saying so where a run fails at the same place as at its last start: resumed as it is, it would fail for ever."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import msgspec

from domcli.errors import EventStreamError
from domcli.events import AnyEvent, CheckpointSaved, Failed, Started
from domcli.rundir import RunDirectory
from domcli.stream import EventReader
from domcli.trainer.failure import OWN_COPY

LASTING = {
    "device": "try another GPU, or have this one looked at",
    "error": "report it with trainer.log",
    "non-finite-loss": "other settings are needed, in a run of their own",
    "out-of-memory": "it needs more memory than there is",
}
"""Causes that may not go away by themselves, each with what is left to do."""


def told_again(failed: Failed, run: RunDirectory) -> Failed:
    """Return the closing event, which says so if this start and the one before failed alike and neither got further."""
    events: list[AnyEvent] = []
    with contextlib.suppress(OSError, EventStreamError):
        events = EventReader(run.events).read()
    if failed.cause not in LASTING or OWN_COPY in failed.reason or not _got_no_further(failed.cause, events):
        return failed
    told = "it failed so after the last start, too, and got no further: resumed as it is, it will fail again"
    return msgspec.structs.replace(failed, reason=f"{failed.reason}; {told}; {LASTING[failed.cause]}")


def _got_no_further(cause: str, events: Sequence[AnyEvent]) -> bool:
    """Tell whether the last start, which has failed now, began where the one before did, which failed likewise."""
    starts = [place for place, event in enumerate(events) if isinstance(event, Started)]
    if len(starts) < 2:
        return False
    earlier, now = events[starts[-2] : starts[-1]], events[starts[-1] :]
    began = [(start.epoch, start.step) for start in (earlier[0], now[0]) if isinstance(start, Started)]
    kept = any(isinstance(event, CheckpointSaved) and event.label == "last" for event in now)
    ended = earlier[-1]
    return isinstance(ended, Failed) and ended.cause == cause and began[0] == began[1] and not kept
