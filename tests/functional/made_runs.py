"""Runs in every state, written by hand: no trainer has to be started for them."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import fake_trainer
import msgspec
import psutil

from domcli import finding, process, rundir
from domcli.devices import CPU
from domcli.events import AnyEvent, Failed, Finished, Stopped, encode
from domcli.process import ProcessIdentity
from domcli.rundir import RunDirectory
from domcli.settings import Settings
from domcli.ticket import Ticket

NOBODY = 2**22 + 1
"""A pid that no process has."""
SLEEPERS: list[subprocess.Popen[bytes]] = []
"""Stand for trainers that are at work; the `cli` fixture ends them as it does trainers."""
ENDINGS: dict[str, AnyEvent] = {
    "finished": Finished(seconds=12.5),
    "failed": Failed(cause="out-of-memory", reason="the device has too little memory; use a smaller batch"),
    "stopped": Stopped(reason="asked to by SIGTERM", epoch=1, step=0),
}


def make(
    name: str,
    state: str,
    *,
    epochs: int = 2,
    of: int = 4,
    preset: str = "pgd-dom-re",
    runs_dir: Path = Path("runs"),
    exit_code: int | None = None,
    **ticket: Any,
) -> RunDirectory:
    """Create a run in a state with some finished epochs; the trainer of a running one sleeps.

    A queued run waits on another machine, so that nobody launches it here, with changes to its ticket.
    """
    settings = Settings.model_validate({"train": {"epochs": of}}).to_dict()
    run = rundir.create(runs_dir, name, settings, {"preset": preset, "created": 1e9})
    # Runs that are made within the resolution of the clock keep their order, too.
    os.utime(run.settings, (1e9 + len(finding.list_runs(runs_dir)),) * 2)
    if state == "queued":
        run.write_ticket(another_machines_ticket(name, **ticket))
        epochs = 0
    else:
        _launched(run, state, exit_code)
    events: list[AnyEvent] = [] if state in ("queued", "starting") else [fake_trainer.started(of, "cpu", 0)]
    if events:
        events += [fake_trainer.epoch_end(number, of) for number in range(1, epochs + 1)]
    events += [ENDINGS[state]] if state in ENDINGS else []
    run.events.write_bytes(b"".join(encode(msgspec.structs.replace(event, time=time.time())) for event in events))
    return run


def another_machines_ticket(name: str, **changes: Any) -> Ticket:
    """Return a ticket that nobody here launches a run for."""
    usual = {"queued": time.time(), "host": "another-machine", "owner": os.geteuid(), "folder": "/", "devices": (CPU,)}
    return Ticket(id=name, **{**usual, **changes})


def _launched(run: RunDirectory, state: str, exit_code: int | None) -> None:
    changes: dict[str, Any] = {"launched": 1.0, "device": "cpu", "exit_code": exit_code}
    if state in ("starting", "running"):
        sleeper = subprocess.Popen(["sleep", "600"])
        SLEEPERS.append(sleeper)
        identity = process.identify(sleeper.pid)
        assert identity is not None
    else:
        assert not psutil.pid_exists(NOBODY)
        identity = ProcessIdentity(pid=NOBODY, start_time=1.0, host=socket.gethostname(), cwd="/")
    run.write_process(msgspec.structs.replace(identity, **changes))
