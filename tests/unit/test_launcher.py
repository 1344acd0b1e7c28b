"""Another launcher of trainers is a thing with five functions and a name: all that starts and ends trainers asks it."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from run_directories import created

from domcli import process
from domcli.cli.summary import queue_text
from domcli.devices import CPU
from domcli.errors import ProcessError
from domcli.launch import actions, queue
from domcli.launch.access import wait_stopped
from domcli.launch.launcher import launcher_of, why_it_waits
from domcli.launch.placement import Placement, note_trainer
from domcli.launch.supervisor import Supervisor
from domcli.launchers import LAUNCHERS
from domcli.process import Liveness, ProcessIdentity
from domcli.rundir import RunDirectory
from domcli.runs import read_run
from domcli.settings import Settings
from domcli.ticket import Ticket

FAKE_TRAINER = (sys.executable, str(Path(__file__).parents[1] / "functional" / "fake_trainer.py"))
PATIENCE = 60.0


class Toy:
    """Starts trainers through a shell, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def start(
        self, run: RunDirectory, placement: Placement, lock: int, command: Sequence[str]
    ) -> subprocess.Popen[bytes]:
        self.asked.append("start")
        line = shlex.join([*command, str(run.path), *placement.arguments()])
        shell = subprocess.Popen(
            ["sh", "-c", f"exec {line}"],
            env=placement.environment(),
            start_new_session=True,
            pass_fds=[lock, placement.slot],
        )
        note_trainer(run, placement, shell.pid, time.time(), first_event=0)
        return shell

    def stop(self, run: RunDirectory) -> ProcessIdentity:
        self.asked.append("stop")
        return self._signal(run, signal.SIGTERM)

    def kill(self, run: RunDirectory) -> ProcessIdentity:
        self.asked.append("kill")
        return self._signal(run, signal.SIGKILL)

    def alive(self, identity: ProcessIdentity) -> Liveness:
        self.asked.append("alive")
        return process.liveness_here(identity)

    def why_it_waits(self, runs_dir: Path, ticket: Ticket) -> str | None:
        return f"the toy is wound up for {len(ticket.devices)} device"

    def _signal(self, run: RunDirectory, number: int) -> ProcessIdentity:
        identity = run.read_process()
        assert process.signal(identity, number)
        return identity


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    scenario = tmp_path / "scenario"
    scenario.write_text("wait")
    monkeypatch.setenv("FAKE_SCENARIO", str(scenario))
    found = Toy()
    monkeypatch.setitem(LAUNCHERS, "toy", found)
    return found


def ticket_for(launcher: str) -> Ticket:
    return msgspec.structs.replace(queue.new_ticket((CPU,), "cpu"), launcher=launcher)


def advance(supervisor: Supervisor, until: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < deadline
        supervisor.advance()
        time.sleep(0.02)


def test_a_run_is_started_and_ended_by_the_launcher_that_its_ticket_names(tmp_path: Path, toy: Toy) -> None:
    runs_dir = tmp_path / "runs"
    run = created(runs_dir, Settings(), ticket=ticket_for("toy"))
    assert queue_text(read_run(run)) == "place 1 in the queue for cpu while the toy is wound up for 1 device"
    supervisor = Supervisor(runs_dir, FAKE_TRAINER)
    advance(supervisor, lambda: read_run(run).state.epochs)
    assert toy.asked[0] == "start"
    assert read_run(run).status == "running"
    assert toy.asked[-1] == "alive"  # whoever looks asks the launcher
    toy.asked.clear()

    (result,) = actions.stop([read_run(run)])
    assert (result.happened, result.process) == ("asked", run.read_process())
    wait_stopped(run, result.process, PATIENCE)
    assert [asked for asked in toy.asked if asked != "alive"] == ["stop"]
    advance(supervisor, lambda: run.read_ticket() is None)
    assert read_run(run).status == "stopped"

    queue.enqueue(run, ticket_for("toy"))
    advance(supervisor, lambda: read_run(run).state.epochs_done == 2)
    toy.asked.clear()
    (result,) = actions.kill([read_run(run)])
    assert (result.happened, toy.asked.count("kill")) == ("killed", 1)
    advance(supervisor, lambda: run.read_ticket() is None)
    assert read_run(run).status == "lost"


def test_tickets_of_before_are_for_processes_of_this_machine(tmp_path: Path) -> None:
    run = created(tmp_path, Settings(), ticket=ticket_for("local"))
    tables = json.loads(run.ticket.read_text())
    assert tables.pop("launcher") == "local"
    run.ticket.write_text(json.dumps(tables))
    assert run.read_ticket().launcher == "local"
    assert why_it_waits(tmp_path, run.read_ticket()) is None


def test_a_launcher_that_is_not_known_is_a_sentence(tmp_path: Path) -> None:
    ticket = ticket_for("catapult")
    first, second = (created(tmp_path, Settings(), name=name, ticket=ticket) for name in ("first", "second"))
    assert why_it_waits(tmp_path, ticket) is None
    says = "there is no launcher 'catapult' here; there is local"
    with pytest.raises(ProcessError, match=says):
        launcher_of(first)
    assert [result.happened for result in actions.stop([read_run(second)])] == ["taken out of the queue"]
    advance(Supervisor(tmp_path, FAKE_TRAINER), lambda: read_run(first).status == "failed")
    assert read_run(first).state.closing.reason == says
