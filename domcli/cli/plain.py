"""The view for files and pipes: plain lines on stderr, one for each epoch, without control characters."""

from __future__ import annotations

from types import TracebackType

from domcli.cli import figures, output
from domcli.cli.epochs import EpochTable
from domcli.cli.options import shown_path
from domcli.events import Started
from domcli.rundir import RunDirectory
from domcli.runs import Run
from domcli.settings import Settings


class PlainView:
    """Says what happens, line by line."""

    def __init__(self, run: RunDirectory, settings: Settings) -> None:
        self._run = run
        self._table = EpochTable(settings)
        self._shown: int | None = None

    def __enter__(self) -> PlainView:
        output.note(f"{self._run.name}: starting (log: {shown_path(self._run.log)})")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def update(self, run: Run) -> None:
        """Write a line for every epoch that has finished since the last call."""
        started = started_now(run)
        if started is None:
            return
        if self._shown is None:
            self._shown = started.epoch
            output.note("\n".join([f"{self._run.name}: {describe(started)}", *self._table.header()]))
        for epoch in run.state.epochs:
            if epoch.epoch > self._shown:
                output.note(self._table.line(epoch))
                self._shown = epoch.epoch

    def say(self, text: str) -> None:
        """Write a line of its own."""
        output.note(f"{self._run.name}: {text}")


def started_now(run: Run) -> Started | None:
    """Return the `started` event of the trainer launched last, None while it has not written one."""
    started, process = run.state.started, run.directory.read_process()
    return None if started is None or (process is not None and started.time < process.launched) else started


def describe(started: Started) -> str:
    """Return where, with what and from where on the trainer trains, in a line."""
    device = (
        started.device if started.device_name in ("", started.device) else f"{started.device} ({started.device_name})"
    )
    begin = ""
    if started.epoch or started.step:
        begin = f", going on after epoch {started.epoch}" + (f" and {started.step} steps" if started.step else "")
    return (
        f"training on {device} in {started.precision}: {figures.count(started.train_size)} training and "
        f"{figures.count(started.test_size)} test images, {figures.count(started.parameters)} parameters, "
        f"{started.epochs} epochs{begin}"
    )
