"""The command line in an empty folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from at_work import supervisors

import domcli
from domcli import process
from domcli.cli.main import main
from domcli.launch import queue
from domcli.rundir import RunDirectory

FAKE_CLI = Path(__file__).with_name("cli_with_fake_trainer.py")
FAKE_SUPERVISOR = Path(__file__).with_name("supervisor_with_fake_trainer.py")
PATIENCE = 60.0


@dataclass(frozen=True)
class Done:
    """What a command left: exit code and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


class CommandLine:
    """Runs `domcli` in an empty folder, with the real trainer or, from the first scenario on, with the fake one.

    A call runs in this process, which is fast; `begin` starts one of its own, to be sent signals.
    """

    def __init__(
        self, folder: Path, scenario: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self._scenario = scenario
        monkeypatch.chdir(folder)
        monkeypatch.delenv("DOMCLI_RUNS_DIR", raising=False)
        monkeypatch.setenv("PYTHONPATH", str(Path(domcli.__file__).parent.parent))
        # As in an activated environment: commands to type are then shown with plain `domcli`.
        monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))

    def play(self, scenario: str) -> None:
        """Have trainers that are launched from now on play a scenario (see fake_trainer.py)."""
        self._scenario.write_text(scenario)
        self._monkeypatch.setenv("FAKE_SCENARIO", str(self._scenario))
        # What was measured on this machine is not to decide how many fake trainers run at a time.
        self._monkeypatch.setenv("XDG_CACHE_HOME", str(self._scenario.parent))
        self._monkeypatch.setattr(queue, "SUPERVISOR", (sys.executable, str(FAKE_SUPERVISOR)))

    def __call__(self, *arguments: str, scenario: str | None = None) -> Done:
        if scenario is not None:
            self.play(scenario)
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["domcli", *arguments])
            code = 0
            self._capsys.readouterr()
            try:
                main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
        out, err = self._capsys.readouterr()
        return Done(code, out, err)

    def begin(self, *arguments: str, scenario: str | None = None) -> subprocess.Popen[str]:
        """Start a command that will be sent signals: none is ignored in it, as in a background job or under nohup."""
        if scenario is not None:
            self.play(scenario)
        return subprocess.Popen(
            self.command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_heed_signals,
        )

    def json(self, *arguments: str) -> Any:
        """Return what a command writes to stdout as JSON."""
        return json.loads(self(*arguments).stdout)

    def command(self, *arguments: str) -> list[str]:
        """Return a command as a list of words, with the fake trainer from the first scenario on."""
        if "FAKE_SCENARIO" in os.environ:
            return [sys.executable, str(FAKE_CLI), *arguments]
        return [sys.executable, "-m", "domcli", *arguments]


@pytest.fixture
def cli(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[CommandLine]:
    """The command line in an empty folder; supervisors and trainers that a failed test leaves there are ended."""
    monkeypatch.delenv("FAKE_SCENARIO", raising=False)
    yield CommandLine(tmp_path, tmp_path_factory.mktemp("scenario") / "scenario", monkeypatch, capsys)
    # A supervisor that is only just starting finds nothing to do then.
    for ticket in tmp_path.rglob("queue.json"):
        ticket.unlink(missing_ok=True)
    for supervisor in supervisors(tmp_path):
        supervisor.kill()
    for path in tmp_path.rglob("process.json"):
        identity = RunDirectory(path.parent).read_process()
        if identity is not None:
            process.signal(identity, signal.SIGKILL)


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """Wait until a condition holds, and fail if it never does."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true"
            time.sleep(0.05)

    return wait


def _heed_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
