"""Runs of the past, played as if they were at work: a source that shows their events when their time has come."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path, PurePosixPath

from domcli.dashboard import grouping
from domcli.dashboard.details import read_detail
from domcli.dashboard.model import NO_FINDINGS, Detail, Listed, Snapshot, System, Wanted
from domcli.dashboard.papers import Papers
from domcli.errors import DomcliError
from domcli.events import AnyEvent, Started
from domcli.overfitting import context_of, watch
from domcli.rundir import RunDirectory
from domcli.runs import read_run
from domcli.runstate import RunState, fold, status
from domcli.stream import EventReader


class ReplayError(DomcliError):
    """What is asked for cannot be played."""


class ReplaySource:
    """Plays runs that begin together, each in the time it took divided by `speed` (see RunSource).

    Nothing is shown before its time. The pauses before a run was resumed are left out; at its end a run is what it
    is. The time begins with the first look; `clock` gives it in seconds.
    """

    steerable = False

    def __init__(
        self,
        runs_dir: Path,
        runs: Sequence[RunDirectory],
        speed: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the runs. Raises ReplayError for a run that never started, for two of one name, and for a bad speed."""
        if not speed > 0:
            raise ReplayError(f"--speed {speed:g}: a replay needs a speed above 0, such as 50")
        names = [run.name for run in runs]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ReplayError(f"--replay: two runs are called {twice}; those played together need different names")
        self.runs_dir = runs_dir
        self.speed = speed
        self.note = f"replay x{speed:g}"
        self._clock = clock
        self._began: float | None = None
        self._played = sorted(map(Played, runs), key=lambda one: one.created)
        quick = grouping.all_quick((one.group, one.origin) for one in self._played)
        self._titles = grouping.titles((one.group for one in self._played), quick)
        self._papers = Papers()
        self._detail: Detail | None = None

    def read(self, wanted: Wanted) -> Snapshot:
        """Return the runs as they were at this point of the replay."""
        first = self._began is None
        now = self._clock()
        self._began = now if self._began is None else self._began
        played = {one.directory.name: one for one in self._played}
        for one in self._played:
            one.go_to((now - self._began) * self.speed)
        if not first:  # the first look is not to wait for the presets
            self._papers.find(one.group for one in self._played)
        counted = grouping.counted(self._played)
        return Snapshot(
            runs=tuple(one.listed(self._titles[one.group.key], one.directory.name in counted) for one in self._played),
            whole={name: played[name].run for name in wanted.whole if name in played},
            detail=self._detail_of(played.get(wanted.detail or "")),
            papers=self._papers.known,
            time=time.time(),
        )

    def system(self) -> System:
        """Return no GPUs: those of now have nothing to do with the runs."""
        return System(time=time.time())

    def _detail_of(self, one: Played | None) -> Detail | None:
        """Return the detail of a run, before its end without the log, and with those checkpoints that it had."""
        if one is None:
            return None
        self._detail = read_detail(one.run, self._detail)
        if one.over:
            return self._detail
        saved = {PurePosixPath(checkpoint.path).stem for checkpoint in one.run.state.checkpoints}
        there = tuple(entry for entry in self._detail.checkpoints if entry[0].partition(".")[0] in saved)
        return replace(self._detail, log=(), log_stamp=None, checkpoints=there)


class Played:
    """One run: all of its events, and the run as it was at the point to which it was played."""

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory
        self._end = read_run(directory)
        self._events = read_events(directory)
        if not any(isinstance(event, Started) for event in self._events):
            raise ReplayError(f"{directory.path} cannot be replayed: {self._end.problem or 'it never started'}")
        self._times = play_times(self._events)
        self.created = self._events[0].time
        self.group = grouping.group_of(self._end)
        self.origin = grouping.origin_of(directory)
        self.run = self._end
        self._done = 0
        self._row: Listed | None = None
        self.go_to(0.0)

    @property
    def over(self) -> bool:
        """True once all has been shown."""
        return self._done == len(self._events)

    def go_to(self, seconds: float) -> None:
        """Play up to so many seconds of training after the start; time never goes back."""
        done = bisect_right(self._times, seconds)
        if done <= self._done:
            return
        state = fold(self._events[self._done : done], self.run.state if self._done else RunState())
        self._done = done
        if self.over:
            self.run = replace(self._end, state=state)
        else:
            now = status(state, "alive")
            self.run = replace(self._end, state=state, status=now, problem=None, ticket=None, process=None)

    def listed(self, title: grouping.Title, counts: bool) -> Listed:
        """Return the row of the run: the same object as before while nothing has changed."""
        before = self._row
        if before is None or before.run is not self.run or before.counts != counts:
            epochs = self.run.state.epochs
            if before is None or epochs != before.run.state.epochs:
                context = context_of(self.run.settings, self.run.state.started)
                findings = watch(epochs, context) if epochs else NO_FINDINGS
            else:
                findings = before.findings
            self._row = Listed(
                self.run,
                findings,
                self.group.key,
                title.text,
                created=self.created,
                counts=counts,
                stem=title.stem,
            )
        assert self._row is not None
        return self._row


def read_events(directory: RunDirectory) -> list[AnyEvent]:
    """Return all events that can be read, whatever stands between them."""
    reader = EventReader(directory.events)
    try:
        return reader.read()
    except DomcliError:
        pass
    try:
        return reader.read()
    except DomcliError:
        return []


def play_times(events: Sequence[AnyEvent]) -> list[float]:
    """Return when each event is shown, in seconds after the first: without the pauses that end in a resume."""
    gaps = [0.0] + [
        0.0 if isinstance(after, Started) else max(0.0, after.time - before.time) for before, after in pairwise(events)
    ]
    return list(accumulate(gaps))
