"""Where the dashboard's runs come from: a runs directory, read in a thread, only as far as it has changed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from domcli import devices, finding
from domcli.dashboard import grouping
from domcli.dashboard.details import read_detail
from domcli.dashboard.followed import Followed
from domcli.dashboard.model import Detail, Listed, Snapshot, System, Wanted
from domcli.dashboard.papers import Papers
from domcli.errors import DomcliError
from domcli.runs import Run

FIRST_LOOK_SECONDS = 0.15
"""So long may one look go on before it shows what it has: runs that were not reached come with the next."""
IDLE_SECONDS = 0.03
"""So long may one look go on with what nobody waits for."""
LIST_SECONDS = 2.0
"""A folder becomes a run when its settings arrive, which the time stamp of the runs directory does not show."""
KEPT_WHOLE = 24
"""Runs that were shown lately keep their epochs, so that going back to them costs nothing."""


class RunSource(Protocol):
    """Gives the dashboard its runs. Both methods block, and each is called from a thread of its own."""

    @property
    def runs_dir(self) -> Path:
        """The runs directory."""

    @property
    def steerable(self) -> bool:
        """True if runs can be started, stopped and deleted."""

    @property
    def note(self) -> str:
        """What is unusual about the source, in a word or two for the header; empty if nothing is."""

    def read(self, wanted: Wanted) -> Snapshot:
        """Return all runs as they are now, those that are wanted with all of their epochs."""

    def system(self) -> System:
        """Return the GPUs as they are now. It is called every few seconds, and sees to it that the queue goes on."""


class DirectorySource:
    """The runs of a directory. Work and memory grow with what is shown and with what has changed."""

    def __init__(self, runs_dir: Path, *, steerable: bool = True) -> None:
        self.runs_dir = runs_dir
        self.steerable = steerable
        self.note = "" if steerable else "read-only"
        self._followed: dict[str, Followed] = {}
        self._listed_at = 0.0
        self._stamp: int | None = None
        self._recent: list[str] = []
        self._papers = Papers()
        self._titles: dict[str, grouping.Title] = {}
        self._titled: tuple[object, ...] = ()
        self._detail: Detail | None = None
        self._problem: str | None = None

    def read(self, wanted: Wanted) -> Snapshot:
        """Return all runs as they are now (see RunSource)."""
        began = time.monotonic()
        self._list(began)
        unread = self._read_runs(wanted, began)
        if not unread:
            self._do_idle_work()
        runs = tuple(self._rows())
        by_name = {one.name: one for one in runs}
        self._detail = read_detail(by_name[wanted.detail].run, self._detail) if wanted.detail in by_name else None
        return Snapshot(
            runs=runs,
            whole={
                name: one.run for name in wanted.whole if (one := self._followed.get(name)) and one.whole and one.run
            },
            detail=self._detail,
            papers=self._papers.known,
            unread=unread,
            problem=self._problem,
            time=time.time(),
        )

    def system(self) -> System:
        """Return the GPUs as they are now; start the supervisor of the queue if it was killed."""
        if self.steerable:
            from domcli.launch import queue  # takes long to load

            with contextlib.suppress(DomcliError, OSError):
                queue.wake(self.runs_dir)
        return System(tuple(devices.gpus()), time.time())

    def _list(self, now: float) -> None:
        """Notice runs that came and went."""
        try:
            stamp = self.runs_dir.stat().st_mtime_ns
        except OSError:
            stamp = None
        if stamp == self._stamp and now - self._listed_at < LIST_SECONDS:
            return
        self._stamp, self._listed_at, self._problem = stamp, now, None
        try:
            found = finding.list_runs(self.runs_dir)
        except DomcliError as error:
            self._problem, found = str(error), []
        self._followed = {run.name: self._followed.get(run.name) or Followed(run) for run in found}

    def _read_runs(self, wanted: Wanted, began: float) -> int:
        """Read what has changed, the newest runs first; return how many runs have not been read at all."""
        self._recent = [*wanted.whole, *(name for name in self._recent if name not in wanted.whole)][:KEPT_WHOLE]
        unread = 0
        for name, one in reversed(self._followed.items()):
            if one.run is None and time.monotonic() - began > FIRST_LOOK_SECONDS:
                unread += 1
            else:
                one.read(whole=name in wanted.whole, keep_whole=name in self._recent)
        return unread

    def _do_idle_work(self) -> None:
        """Look for overfitting in runs of which only a few epochs are held, and for the paper's numbers."""
        began = time.monotonic()
        for one in reversed(self._followed.values()):
            asked = one.known_origin is None and bool(one.origin)
            if (one.watch_from_file() or asked) and time.monotonic() - began > IDLE_SECONDS:
                return
        self._papers.find(one.group for one in self._followed.values() if one.group is not None)

    def _rows(self) -> Iterator[Listed]:
        known = [one for one in self._followed.values() if one.run is not None]
        titles = self._titles_of(known)
        counted = grouping.counted(known)
        queued = any(one.run is not None and one.run.status == "queued" for one in known)
        places = finding.queue_places(self.runs_dir) if queued else {}
        for one in known:
            yield one.listed(titles, places, self._why_it_waits(one.run), counts=one.directory.name in counted)

    def _why_it_waits(self, run: Run | None) -> str | None:
        """Return what a queued run waits for beside those before it."""
        if run is None or run.ticket is None or run.status != "queued":
            return None
        from domcli.launch.launcher import why_it_waits  # takes long to load

        return why_it_waits(self.runs_dir, run.ticket)

    def _titles_of(self, known: Sequence[Followed]) -> dict[str, grouping.Title]:
        """Return the titles of the groups, made anew only if the runs and what is known of them are not as before."""
        groups = [one.group for one in known if one.group is not None]
        quick = grouping.all_quick((one.group, one.known_origin) for one in known)
        titled = ({(group.key, group.name) for group in groups}, quick)
        if titled != self._titled:
            self._titled, self._titles = titled, grouping.titles(groups, quick)
        return self._titles
