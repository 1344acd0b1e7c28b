"""Runs as they are now: directory, events so far and whether the trainer lives, for every reader."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from domcli.errors import DomcliError
from domcli.events import AnyEvent
from domcli.process import liveness
from domcli.rundir import RunDirectory
from domcli.runstate import RunState, Status, fold, status
from domcli.stream import EventReader


@dataclass(frozen=True)
class Run:
    """A snapshot of one run; `problem` says in a sentence why it could not be read whole."""

    directory: RunDirectory
    state: RunState = field(default_factory=RunState)
    status: Status = "queued"
    problem: str | None = None


class RunReader:
    """Follows one run: each call of `read` gives a fresh snapshot and reads only what was appended since."""

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory
        self._stream = EventReader(directory.events)
        self._run = Run(directory)

    def read(self) -> Run:
        """Return the run as it is now. The process is asked first: what it wrote before it went is then seen."""
        identity = self.directory.read_process()
        alive = "none" if identity is None else liveness(identity)
        events, problem = self._new_events()
        state = fold(events, self._run.state)
        launched = identity.launched if identity else 0.0
        self._run = replace(self._run, state=state, status=status(state, alive, launched), problem=problem)
        return self._run

    def _new_events(self) -> tuple[list[AnyEvent], str | None]:
        problem = self._run.problem
        try:
            return self._stream.read(), problem
        except DomcliError as error:
            problem = str(error)
        try:
            return self._stream.read(), problem
        except DomcliError:
            return [], problem


def read_run(directory: RunDirectory) -> Run:
    """Return a snapshot of one run."""
    return RunReader(directory).read()
