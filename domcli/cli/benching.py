"""The process that measures, from the side of the command: what it tells, and how it failed."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domcli import children
from domcli.cli import output
from domcli.cli.bench_slot import device_alone, warn_of_others
from domcli.cli.bench_view import View, make_view
from domcli.cli.interrupts import Interrupts
from domcli.errors import SettingsError
from domcli.launch import queue, talk
from domcli.launch.placement import Placement

PROCESS: Sequence[str] = children.command("domcli.trainer.bench")


@dataclass
class Said:
    """What the process has told so far."""

    report: dict[str, Any] | None = None


def measure(wanted: str, arguments: Sequence[str], runs_dir: Path, interrupts: Interrupts) -> dict[str, Any] | None:
    """Measure on a device that runs of the runs directory keep off meanwhile, and return the last report.

    None if it was interrupted before there was one. Raises the DomcliError that says why it does not begin or go on.
    """
    device = queue.choose_devices(wanted)[0]

    def check() -> None:
        """Have refused what will be, before anybody waits for a device."""
        _run(Placement(device=device, wanted=wanted), [*arguments, "--check"], interrupts)

    with device_alone(device, runs_dir, interrupts, before_waiting=check) as slot:
        if interrupts.count:
            return None
        warn_of_others(device)
        placement = Placement(device=device, wanted=wanted, slot=slot.handle if slot is not None else None)
        return _run(placement, arguments, interrupts)


def _run(placement: Placement, arguments: Sequence[str], interrupts: Interrupts) -> dict[str, Any] | None:
    """Run the process to its end, or until it is interrupted, and return its last report, None if there is none.

    Raises the DomcliError that says why it does not begin or go on.
    """
    job = talk.Job("the benchmark", [*PROCESS, *placement.arguments(), *arguments], placement)
    said = Said()
    with tempfile.NamedTemporaryFile(prefix="domcli-bench-", suffix=".log", delete=False) as log, make_view() as view:
        ending = talk.talk(job, log, interrupts, lambda line: _hear(line, said, view), view.say)
    if said.report is not None and any(case["problem"] for case in said.report["cases"]):
        output.note(f"not every case could be measured (log: {log.name})")
    elif ending.code == 0 or interrupts.count or ending.reason is not None:
        Path(log.name).unlink(missing_ok=True)
    if ending.reason is not None:
        raise (SettingsError if ending.code == talk.REFUSED else talk.UnfinishedError)(ending.reason)
    if ending.code and not interrupts.count:
        raise talk.UnfinishedError(f"the benchmark ended without a result, exit code {ending.code} (log: {log.name})")
    return said.report


def _hear(line: bytes, said: Said, view: View) -> str | None:
    """Take up a message, and return the reason if it is a refusal; other lines are the words of a library."""
    try:
        message = json.loads(line)
        kind = message["kind"]
    except (ValueError, TypeError, KeyError):
        return None
    if kind == "report":
        said.report = message["report"]
    elif kind == "progress":
        view.update(message)
    return str(message["reason"]) if kind == "refusal" else None
