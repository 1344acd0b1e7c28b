"""`domcli doctor`: is everything here that a run needs, and if not, what to do about it."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domcli.cli import options, output

if TYPE_CHECKING:
    from domcli.checks.check import Check
    from domcli.checks.pytorch import Probe
    from domcli.cores import Look
    from domcli.devices import Gpu
    from domcli.events import BusyCores
    from domcli.runs import Run

MARKS = {"ok": "✓", "warning": "!", "problem": "✗"}
ASCII_MARKS = {"ok": "ok  ", "warning": "warn", "problem": "fail"}
STYLES = {"ok": "32", "warning": "33", "problem": "1;31"}
TITLE_STYLE = "1"
LOAD_SECONDS = 0.5
"""To watch the cores for at least; importing torch, which is waited for in the end, takes longer."""

DataRoot = Annotated[
    str | None, typer.Option("--data-root", metavar="DIR", help="Folder of the data sets [default: data].")
]


def doctor(runs_dir: options.RunsDir = None, data_root: DataRoot = None, as_json: options.Json = False) -> None:
    """Check what runs need: Python, PyTorch, GPUs, data sets, the runs directory, the queue, the terminal.

    Every problem comes with its remedy. The exit code is 1 if there are problems; warnings are none.
    """
    from domcli.checks.check import guarded

    examination = _Examination(options.resolve_runs_dir(runs_dir), data_root)
    report = _Json() if as_json else _Lines()
    try:
        for title, look in examination.groups():
            report.begin(title)
            report.add(title, guarded(title, look))
    finally:
        examination.close()
    report.end()
    if report.count("problem"):
        raise typer.Exit(1)


class _Examination:
    """The groups of checks, in the order in which they are shown; torch begins first and comes last."""

    def __init__(self, runs_dir: Path, data_root: str | None) -> None:
        self._runs_dir = runs_dir
        self._data_root = data_root
        self._probe: Probe | None = None
        self._runs: list[Run] | None = None
        self._gpus: list[Gpu] = []
        self._first_look: Look | None = None

    def groups(self) -> Iterator[tuple[str, Callable[[], Check | Sequence[Check]]]]:
        """Begin with torch, and yield the title of each group with the function that looks."""
        from domcli import cores
        from domcli.checks import software
        from domcli.checks.check import guarded

        self._first_look = cores.look()
        failed = guarded("torch", self._begin_torch)
        yield "Python", software.check
        yield "GPUs", self._look_at_gpus
        yield "CPU and memory", self._look_at_cpu
        yield "data sets", self._look_at_data
        yield "runs directory", self._look_at_storage
        yield "queue", self._look_at_queue
        yield "terminal", _look_at_terminal
        yield "PyTorch", (lambda: failed) if failed else self._look_at_torch

    def close(self) -> None:
        """Leave no process behind."""
        if self._probe is not None:
            self._probe.close()

    def _begin_torch(self) -> Sequence[Check]:
        from domcli import children
        from domcli.checks.pytorch import Probe

        self._probe = Probe(children.environment())
        return []

    def _look_at_torch(self) -> Sequence[Check]:
        from domcli.checks import machine, pytorch, software
        from domcli.errors import DeviceError

        assert self._probe is not None
        try:
            visible = len(machine.visible_gpus(self._gpus, os.environ))
        except DeviceError:  # the group of the GPUs tells
            visible = 0
        return pytorch.checks(self._probe.report(), len(self._gpus), visible, software.requirements())

    def _look_at_gpus(self) -> Sequence[Check]:
        from domcli import devices
        from domcli.checks import machine, queue
        from domcli.errors import DomcliError

        self._gpus = devices.gpus()
        try:
            trainers = queue.trainers(self._read_runs())
        except DomcliError:  # the group of the queue tells
            trainers = {}
        return machine.gpu_checks(self._gpus, devices.driver_version(), os.environ, trainers)

    def _look_at_cpu(self) -> Sequence[Check]:
        from domcli import cores, limits
        from domcli.checks import machine

        def busy() -> BusyCores | None:
            assert self._first_look is not None
            time.sleep(max(0.0, self._first_look.clock + LOAD_SECONDS - time.monotonic()))
            return cores.others(self._first_look, cores.look())

        return machine.cpu_checks(limits.read_limits(), busy)

    def _look_at_data(self) -> Sequence[Check]:
        from domcli.checks import datasets
        from domcli.files import at_home
        from domcli.settings import Settings

        return datasets.check(at_home(self._data_root or Settings().data.root))

    def _look_at_storage(self) -> Sequence[Check]:
        from domcli.checks import storage
        from domcli.launch.prepare import checkpoint_bytes
        from domcli.settings import Settings

        return storage.check(self._runs_dir, checkpoint_bytes(Settings()))

    def _look_at_queue(self) -> Sequence[Check]:
        from domcli import locks
        from domcli.checks import queue
        from domcli.launch import slots

        folder = slots.seen_folder(self._runs_dir)
        return queue.check(self._read_runs(), supervised=locks.is_held_by_own(folder.supervisor))

    def _read_runs(self) -> list[Run]:
        from domcli.checks.queue import read_runs

        if self._runs is None:
            self._runs = read_runs(self._runs_dir)
        return self._runs


class _Report:
    """Collects the checks."""

    def __init__(self) -> None:
        self.checks: list[tuple[str, Check]] = []

    def begin(self, group: str) -> None:
        """Say that a group is being looked at."""

    def add(self, group: str, checks: Sequence[Check]) -> None:
        """Take up what was found."""
        self.checks += [(group, check) for check in checks]

    def end(self) -> None:
        """Write what is left to say."""

    def count(self, status: str) -> int:
        """Return how many checks ended so."""
        return sum(check.status == status for _, check in self.checks)


class _Json(_Report):
    """One object with all checks and their counts."""

    def end(self) -> None:
        checks: list[dict[str, Any]] = [{"group": group, **dataclasses.asdict(check)} for group, check in self.checks]
        counts = {"ok": self.count("ok"), "warnings": self.count("warning"), "problems": self.count("problem")}
        output.json_data({"checks": checks, **counts})


class _Lines(_Report):
    """Lines for people, each group as soon as it is known."""

    def __init__(self) -> None:
        from domcli.checks import terminal

        super().__init__()
        unicode = terminal.is_utf8(os.environ) and output.is_unicode(sys.stdout)
        self._marks = MARKS if unicode else ASCII_MARKS
        self._coloured = sys.stdout.isatty() and terminal.colours(os.environ) != "none"

    def begin(self, group: str) -> None:
        self._say((group, TITLE_STYLE))

    def add(self, group: str, checks: Sequence[Check]) -> None:
        super().add(group, checks)
        width = max((len(check.name) for check in checks), default=0)
        for check in checks:
            mark = self._marks[check.status]
            first, *others = check.text.split("\n")
            indent = " " * (len(mark) + 3)
            self._say(("  ", ""), (mark, STYLES[check.status]), (f" {check.name:<{width}}  {first}".rstrip(), ""))
            for line in others:
                self._say((f"{indent}{'':<{width}}  {line}", ""))
            if check.remedy:
                arrow = "→" if mark in MARKS.values() else "->"
                self._say((f"{indent}{'':<{width}}  {arrow} {check.remedy}", ""))

    def end(self) -> None:
        from domcli.checks.check import plural

        counted = [(self.count("problem"), "problem"), (self.count("warning"), "warning")]
        found = [plural(count, word) for count, word in counted if count]
        said = ", ".join(found) if self.count("problem") else ", ".join(["no problems", *found])
        self._say(("\n", ""), (said, STYLES["problem" if self.count("problem") else "ok"]))

    def _say(self, *line: tuple[str, str]) -> None:
        output.styled(line, coloured=self._coloured)


def _look_at_terminal() -> Sequence[Check]:
    from domcli.checks import terminal

    columns, lines = shutil.get_terminal_size()
    return terminal.check(os.environ, (columns, lines) if sys.stdout.isatty() else None)
