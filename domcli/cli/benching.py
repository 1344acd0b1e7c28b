"""The process that measures, from the side of the command: what it tells, how it is ended, how it failed."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domcli import children
from domcli.cli import output
from domcli.cli.bench import BenchmarkError
from domcli.cli.bench_slot import device_alone, warn_of_others
from domcli.cli.bench_view import View, make_view
from domcli.cli.follow import Interrupts
from domcli.cli.listening import end, listen
from domcli.errors import ProcessError, SettingsError
from domcli.launch import control, queue

PROCESS: Sequence[str] = children.command("domcli.trainer.bench")
REFUSED = 2


@dataclass
class Said:
    """What the process has told so far: the last report, and the reason of a refusal."""

    report: dict[str, Any] | None = None
    reason: str | None = None


def measure(wanted: str, arguments: Sequence[str], runs_dir: Path, interrupts: Interrupts) -> dict[str, Any] | None:
    """Measure on a device that runs of the runs directory keep off meanwhile, and return the last report.

    None if it was interrupted before there was one. Raises the DomcliError that says why it does not begin or go on.
    """
    device = queue.choose_devices(wanted)[0]

    def check() -> None:
        """Have refused what will be, before anybody waits for a device."""
        _run(control.Placement(device=device, wanted=wanted), [*arguments, "--check"], interrupts)

    with device_alone(device, runs_dir, interrupts, before_waiting=check) as slot:
        if interrupts.count:
            return None
        warn_of_others(device)
        placement = control.Placement(device=device, wanted=wanted, slot=slot.handle if slot is not None else None)
        return _run(placement, arguments, interrupts)


def _run(placement: control.Placement, arguments: Sequence[str], interrupts: Interrupts) -> dict[str, Any] | None:
    """Run the process to its end, or until it is interrupted, and return its last report, None if there is none.

    Raises the DomcliError that says why it does not begin or go on.
    """
    with tempfile.NamedTemporaryFile(prefix="domcli-bench-", suffix=".log", delete=False) as log:
        try:
            process = subprocess.Popen(
                [*PROCESS, *placement.arguments(), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=placement.environment(),
                # Ctrl-C comes to it through this command alone.
                start_new_session=True,
                # It may outlive this command, as when that is killed.
                pass_fds=[] if placement.slot is None else [placement.slot],
            )
        except OSError as error:
            raise ProcessError(f"cannot start the benchmark: {error.strerror}") from error
    said = Said()
    try:
        with make_view() as view:
            listen(process, interrupts, lambda line: _take(line, said, view), view.say)
        code = process.wait()
    finally:
        if process.poll() is None:
            end(process, kill=True)
    problems = said.report is not None and any(case["problem"] for case in said.report["cases"])
    if problems:
        output.note(f"not every case could be measured (log: {log.name})")
    elif code == 0 or interrupts.count or said.reason is not None:
        Path(log.name).unlink(missing_ok=True)
    if said.reason is not None:
        raise (SettingsError if code == REFUSED else BenchmarkError)(said.reason)
    if code and not interrupts.count:
        raise BenchmarkError(f"the benchmark ended without a result, exit code {code} (log: {log.name})")
    return said.report


def _take(line: bytes, said: Said, view: View) -> None:
    """Take up a message; other lines are the words of a library."""
    try:
        message = json.loads(line)
        kind = message["kind"]
    except (ValueError, TypeError, KeyError):
        return
    if kind == "report":
        said.report = message["report"]
    elif kind == "refusal":
        said.reason = message["reason"]
    elif kind == "progress":
        view.update(message)
