"""Runs as they are now: directory, events so far and whether the trainer lives, for every reader."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from domcli.brief import read_brief
from domcli.errors import DomcliError, RunDirectoryError
from domcli.events import AnyEvent, EpochEnd, Started
from domcli.overfitting import Finding, context_of, watch
from domcli.process import ProcessIdentity, liveness
from domcli.rundir import RunDirectory
from domcli.runstate import RunState, Status, epoch_fraction, fold, is_of, status
from domcli.stream import EventReader
from domcli.ticket import Ticket


@dataclass(frozen=True)
class Run:
    """A snapshot of one run; `problem` says in a sentence why it could not be read whole."""

    directory: RunDirectory
    state: RunState = field(default_factory=RunState)
    status: Status = "queued"
    problem: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    """The tables of settings.toml, empty if it cannot be read."""
    preset: str | None = None
    ticket: Ticket | None = None
    """Its place in the queue, while it waits there or its trainer runs."""
    process: ProcessIdentity | None = None
    """The trainer that was launched last."""
    kept_findings: tuple[Finding, ...] | None = None
    """What the overfitting watch said of all epochs, where the state holds only some of them."""

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What the overfitting watch says of the epochs."""
        if self.kept_findings is not None:
            return self.kept_findings
        return watch(self.state.epochs, context_of(self.settings, self.state.started))

    @property
    def started(self) -> Started | None:
        """The `started` event of the trainer launched last, None while it has not written one."""
        started, process = self.state.started, self.process
        if started is None or self.status == "queued":
            return None
        return started if process is None or is_of(started, process.launched, process.first_event) else None

    @property
    def total_epochs(self) -> int | None:
        """How many epochs it is to have; None where nothing says so that can be true."""
        started, wanted = self.state.started, self._train_setting("epochs")
        if self.status == "queued" and self.ticket is not None and self.ticket.epochs:
            return self.ticket.epochs
        if started is None or not 0 < started.epochs < 2**63:
            return wanted
        # A run that is to be trained on says so in its settings before its trainer does.
        return wanted if wanted and self.status not in ("running", "finished") else started.epochs

    @property
    def span(self) -> int | None:
        """How many epochs its schedule and its warm-up span; None where nothing says so."""
        return self._train_setting("schedule_epochs") or self.total_epochs

    def _train_setting(self, key: str) -> int | None:
        train = self.settings.get("train")
        wanted = train.get(key) if isinstance(train, dict) else None
        return wanted if isinstance(wanted, int) and 0 < wanted < 2**63 else None

    @property
    def progress(self) -> float | None:
        """How much of it is done, from 0 to 1; None where it is not known how many epochs it is to have."""
        total = self.total_epochs
        return min(1.0, max(0.0, (self.state.epochs_done + epoch_fraction(self.state)) / total)) if total else None

    @property
    def device(self) -> str | None:
        """Where it trains or has trained, as it is called on its machine."""
        if self.process is not None and self.process.device and self.started is None:
            return self.process.device if self.status == "starting" else None
        return self.state.started.device if self.state.started else None


class RunReader:
    """Follows one run: each call of `read` gives a fresh snapshot and reads only what was appended since.

    With `brief` the state is a condensed one (see RunState.condensed), which a list can have without reading all of a
    long stream.
    """

    def __init__(self, directory: RunDirectory, *, brief: bool = False) -> None:
        self.directory = directory
        kept = read_brief(directory) if brief else None
        if kept is None:
            self._begin()
        else:
            self._stream = EventReader(directory.events, kept.offset, kept.lines, skim=True)
            self._run = Run(
                directory, kept.state, settings=kept.settings, preset=kept.preset, kept_findings=kept.findings
            )

    def read(self) -> Run:
        """Return the run as it is now. The process is asked first: what it wrote before it went is then seen."""
        identity = self.directory.read_process()
        alive = "none" if identity is None else liveness(identity)
        ticket = self.directory.read_ticket()
        events, problem = self._new_events()
        if self._run.kept_findings is not None and any(isinstance(event, EpochEnd) for event in events):
            kept = read_brief(self.directory)
            self._run = replace(self._run, kept_findings=kept.findings if kept else ())
        if any(isinstance(event, Started) and event.epoch < self._run.state.epochs_done for event in events):
            # Epochs are done again, and a condensed state does not hold those before them.
            self._begin()
            events, problem = self._new_events()
        if any(isinstance(event, Started) for event in events):
            # A run that is trained on has other settings than before.
            with contextlib.suppress(RunDirectoryError):
                self._run = replace(self._run, settings=self.directory.read_settings())
        state = fold(events, self._run.state)
        queued = ticket is not None and (identity is None or identity.ticket != ticket.id)
        launched = identity.launched if identity else 0.0
        self._run = replace(
            self._run,
            state=state,
            status=status(
                state, alive, launched, first_event=identity.first_event if identity else None, queued=queued
            ),
            problem=problem,
            ticket=ticket,
            process=identity,
        )
        return self._run

    def _begin(self) -> None:
        """Read from the beginning."""
        self._stream = EventReader(self.directory.events, skim=True)
        preset = self.directory.read_environment().get("preset")
        self._run = Run(self.directory, preset=preset if isinstance(preset, str) else None)
        try:
            self._run = replace(self._run, settings=self.directory.read_settings())
        except RunDirectoryError as error:
            self._run = replace(self._run, problem=str(error))

    def _new_events(self) -> tuple[list[AnyEvent], str | None]:
        problem = self._run.problem
        try:
            return self._stream.read(), problem
        except DomcliError as error:
            problem = problem or str(error)
        try:
            return self._stream.read(), problem
        except DomcliError:
            return [], problem


def read_run(directory: RunDirectory, *, brief: bool = False) -> Run:
    """Return a snapshot of one run."""
    return RunReader(directory, brief=brief).read()
