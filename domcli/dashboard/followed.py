"""One run as the source follows it: what was read of it, and whether there is anything new to read."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import replace

from domcli.dashboard.grouping import Group, Origin, Title, group_of, origin_of
from domcli.dashboard.model import NO_FINDINGS, Listed
from domcli.errors import DomcliError
from domcli.events import AnyEvent
from domcli.overfitting import Finding, context_of, watch
from domcli.rundir import RunDirectory
from domcli.runs import Run, RunReader
from domcli.runstate import fold
from domcli.stream import EventReader

SETTLED_SECONDS = 2.0
"""A directory that changed no longer ago may change again without its time stamp showing it."""

Signature = tuple[int, int]


class Followed:
    """Keeps the condensed state of a run, or all of its epochs while they are wanted or it is at work."""

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory
        self._path, self._events = str(directory.path), str(directory.events)
        self.run: Run | None = None
        self.whole = False
        self.group: Group | None = None
        self._reader: RunReader | None = None
        self._signature: Signature | None = None
        self._findings: tuple[Finding, ...] = NO_FINDINGS
        self._watched: tuple[int, int] | None = None
        self._row: Listed | None = None
        self.known_origin: Origin | None = None

    @property
    def origin(self) -> Origin:
        """How the run came to be; read when it is asked for."""
        if self.known_origin is None:
            self.known_origin = origin_of(self.directory)
        return self.known_origin

    def read(self, *, whole: bool, keep_whole: bool) -> None:
        """Bring `run` up to date: all epochs if `whole`, and no fewer than there are if they are to be kept.

        A trainer leaves traces in its directory when it starts; while none is at work, nothing else can happen to a
        run that does not change the time stamp of its directory or the length of its stream.
        """
        at_work = self.run is not None and self.run.status in ("starting", "running")
        want_whole = whole or (self.whole and keep_whole) or at_work
        signature = self._look()
        if self.run is not None and not at_work and signature == self._signature and want_whole <= self.whole:
            if self.whole and not want_whole:
                self._let_go()
            return
        if self._reader is None or (want_whole and not self.whole):
            self._reader, self.whole = RunReader(self.directory, brief=not want_whole), want_whole
        run = self._reader.read()
        if run != self.run:
            self.run = run
        settled = signature is not None and signature[0] < (time.time() - SETTLED_SECONDS) * 1e9
        self._signature = signature if settled else None
        if self.group is None or not self.group.settings:
            self.group = group_of(self.run)
        if self.whole:
            self._watch(self.run)

    def watch_from_file(self) -> bool:
        """Find overfitting in a run that is not held whole, if that was not done yet; return whether it was read."""
        if self.run is None or self.whole or self._watched == _epochs_of(self.run) or not self.run.state.epochs_done:
            return False
        # Findings rest on the epochs alone, and most of a stream is progress.
        stream = EventReader(self.directory.events, skim=True)
        events: list[AnyEvent] = []
        try:
            events = stream.read()
        except DomcliError:
            with contextlib.suppress(DomcliError):
                events = stream.read()  # what stands around the damaged line
        self._watch(replace(self.run, state=fold(events)))
        self._watched = _epochs_of(self.run)
        return True

    def listed(
        self, titles: Mapping[str, Title], places: Mapping[str, int], waits: str | None, *, counts: bool
    ) -> Listed:
        """Return the row of the run: the same object as before while nothing has changed."""
        assert self.run is not None
        assert self.group is not None
        title = titles[self.group.key]
        row = Listed(
            self.run,
            self._findings,
            self.group.key,
            title.text,
            places.get(self.directory.name),
            waits,
            self._created(),
            counts,
            title.stem,
        )
        known = self._row
        if known is None or known.run is not row.run or known != row:
            self._row = row
        assert self._row is not None
        return self._row

    def _look(self) -> Signature | None:
        try:
            return os.stat(self._path).st_mtime_ns, os.stat(self._events).st_size  # noqa: PTH116 - Path takes several times as long
        except OSError:
            return None

    def _created(self) -> float:
        if self._row is not None:
            return self._row.created
        try:
            return self.directory.settings.stat().st_mtime
        except OSError:
            return 0.0

    def _let_go(self) -> None:
        """Forget the epochs that nobody looks at."""
        assert self.run is not None
        self.run, self._reader, self.whole = replace(self.run, state=self.run.state.condensed()), None, False
        self._watched = _epochs_of(self.run)

    def _watch(self, run: Run) -> None:
        if self._watched != _epochs_of(run):
            self._findings = watch(run.state.epochs, context_of(run.settings, run.state.started))
            self._watched = _epochs_of(run)


def _epochs_of(run: Run) -> tuple[int, int]:
    """Return what changes when epochs come, or are done again."""
    last = run.state.epochs[-1] if run.state.epochs else None
    return run.state.epochs_done, last.seq if last else -1
