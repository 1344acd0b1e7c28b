"""Runs as they are now: directory, events so far and whether the trainer lives, for every reader."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from domcli.errors import DomcliError
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
        try:
            state, problem = fold(self._stream.read(), self._run.state), self._run.problem
        except DomcliError as error:
            state, problem = self._run.state, str(error)
        launched = identity.launched if identity else 0.0
        self._run = replace(self._run, state=state, status=status(state, alive, launched), problem=problem)
        return self._run


def read_run(directory: RunDirectory) -> Run:
    """Return a snapshot of one run."""
    return RunReader(directory).read()
