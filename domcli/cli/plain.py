"""The view for files and pipes: plain lines on stderr, one for each epoch, without control characters."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from domcli.cli import figures, output
from domcli.cli.at_work import LOADING
from domcli.cli.epochs import EpochTable
from domcli.cli.options import shown_path
from domcli.events import Started
from domcli.plural import counted
from domcli.rundir import RunDirectory
from domcli.runs import Run
from domcli.settings import Settings


class PlainView:
    """Says what happens, line by line; with several runs each line begins with the name of its run."""

    def __init__(self, runs: Sequence[RunDirectory], settings: Sequence[Settings]) -> None:
        prefixes = [f"{run.name} | " if len(runs) > 1 else "" for run in runs]
        self._stories = [_Story(*story) for story in zip(runs, settings, prefixes, strict=True)]

    def __enter__(self) -> PlainView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def update(self, runs: Sequence[Run]) -> None:
        """Write a line for every change of state and every epoch that has finished since the last call."""
        for story, run in zip(self._stories, runs, strict=True):
            story.update(run)

    def say(self, text: str) -> None:
        """Write a line of its own."""
        name = f"{self._stories[0].name}: " if len(self._stories) == 1 else ""
        output.note(f"{name}{text}")


class _Story:
    """What has been said of one run."""

    def __init__(self, run: RunDirectory, settings: Settings, prefix: str) -> None:
        self.name = run.name
        self._log = run.log
        self._prefix = prefix
        self._table = EpochTable(settings)
        self._started: Started | None = None
        self._shown = 0
        self._status = ""
        self._launched = False

    def update(self, run: Run) -> None:
        changed, self._status = run.status != self._status, run.status
        if changed and run.status in ("queued", "starting", "running"):
            self._tell_waiting(run)
        self._tell_epochs(run)
        if changed and self._prefix and run.status not in ("queued", "starting", "running"):
            output.note(f"{self.name}: {run.status}")

    def _tell_waiting(self, run: Run) -> None:
        ticket = run.ticket
        if run.status == "queued":
            again = f"retry {ticket.retries} of {ticket.max_retries} waits" if ticket and ticket.retries else "queued"
            output.note(f"{self.name}: {again}")
            self._launched = False
        elif not self._launched:
            output.note(f"{self.name}: starting: {LOADING} (log: {shown_path(self._log)})")
            self._launched = True

    def _tell_epochs(self, run: Run) -> None:
        started = run.started
        if started is None:
            return
        if started != self._started:
            self._shown = started.epoch
            header = [] if self._started else [*self._table.legend(), *self._table.header()]
            self._started = started
            for line in (f"{self.name}: {describe(started)}", *(self._prefix + line for line in header)):
                output.note(line)
        for epoch in run.state.epochs:
            if epoch.epoch > self._shown:
                output.note(self._prefix + self._table.line(epoch))
                self._shown = epoch.epoch


def describe(started: Started) -> str:
    """Return where, with what and from where on the trainer trains, in a line."""
    device = (
        started.device if started.device_name in ("", started.device) else f"{started.device} ({started.device_name})"
    )
    begin = ""
    if started.epoch or started.step:
        steps = f" and {counted(started.step, 'step')}" if started.step else ""
        begin = f", going on after epoch {started.epoch}{steps}"
    busy = f"; {started.busy_cores}, which slows it down" if started.busy_cores is not None else ""
    return (
        f"training on {device} in {started.precision}: {figures.count(started.train_size)} training and "
        f"{counted(started.test_size, 'test image')}, {counted(started.parameters, 'parameter')}, "
        f"{counted(started.epochs, 'epoch')}{begin}{busy}"
    )
