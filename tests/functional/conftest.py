"""The command line in an empty folder."""

from __future__ import annotations

import functools
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

import domcli
from domcli import launch, process
from domcli.cli.main import main
from domcli.rundir import RunDirectory

FAKE_CLI = Path(__file__).with_name("cli_with_fake_trainer.py")
FAKE_TRAINER = Path(__file__).with_name("fake_trainer.py")
PATIENCE = 60.0


@dataclass(frozen=True)
class Done:
    """What a command left: exit code and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


class CommandLine:
    """Runs `domcli` in an empty folder, with the real trainer or, given a scenario, with the fake one.

    A call runs in this process, which is fast; `begin` starts one of its own, to be sent signals.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        monkeypatch.chdir(folder)
        monkeypatch.delenv("DOMCLI_RUNS_DIR", raising=False)
        monkeypatch.setenv("PYTHONPATH", str(Path(domcli.__file__).parent.parent))
        # As in an activated environment: commands to type are then shown with plain `domcli`.
        monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))

    def __call__(self, *arguments: str, scenario: str | None = None) -> Done:
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["domcli", *arguments])
            if scenario is not None:
                command = (sys.executable, str(FAKE_TRAINER), scenario)
                patch.setattr(launch, "start", functools.partial(launch.start, command=command))
                patch.setattr(launch, "resume", functools.partial(launch.resume, command=command))
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
        return subprocess.Popen(
            self._command(arguments, scenario),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_heed_signals,
        )

    def json(self, *arguments: str) -> Any:
        """Return what a command writes to stdout as JSON."""
        return json.loads(self(*arguments).stdout)

    @staticmethod
    def _command(arguments: tuple[str, ...], scenario: str | None) -> list[str]:
        if scenario is None:
            return [sys.executable, "-m", "domcli", *arguments]
        return [sys.executable, str(FAKE_CLI), scenario, *arguments]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[CommandLine]:
    """The command line in an empty folder; trainers that a failed test leaves there are ended."""
    yield CommandLine(tmp_path, monkeypatch, capsys)
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
