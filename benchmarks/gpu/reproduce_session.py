"""One call of reproduce.sh: queue what is missing, follow it as far as the budget goes, stop it, say what came out."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import reproduce_report as report
from reproduce_plan import (
    Action,
    Task,
    Wanted,
    action,
    epoch_seconds,
    position,
    refuse_others,
    seconds_left,
    start_seconds,
    tasks,
)

from domcli.errors import ProcessError
from domcli.files import replace_text
from domcli.launch import queue
from domcli.rundir import RunDirectory
from domcli.runs import Run, RunReader
from domcli.runstate import Status

CHECKOUT = Path(__file__).resolve().parents[2]
DONE, FAILED, MISSING, INTERRUPTED = 0, 1, 3, 130
CLOSING_SECONDS = 15.0
"""What is kept of the budget for stopping, comparing and the summary."""
STOP_SECONDS = 30.0
"""After these a trainer that has been asked to stop is killed, and what it did since its last epoch is lost."""
POLL_SECONDS = 0.3
TELL_SECONDS = 15.0
WAKE_SECONDS = 2.0
AT_WORK = ("queued", "starting", "running")


@dataclass(frozen=True)
class Frame:
    """Where and for how long. `began` is on the clock of time.monotonic, `budget` in seconds from then."""

    began: float
    budget: float
    runs_dir: Path
    output: Path


class Session:
    """One call of the program; `jobs` are how many runs of each row share a device."""

    def __init__(self, frame: Frame, wanted: Wanted, jobs: dict[str, int]) -> None:
        self._frame, self._runs_dir, self._budget = frame, frame.runs_dir, frame.budget
        self._device = "cpu" if wanted.cpu else "cuda"
        self._wanted, self._jobs = wanted, jobs
        self._tasks = tasks(wanted)
        self._readers: dict[str, RunReader] = {}
        self._problems: list[str] = []
        self._killed: list[str] = []
        self._signal: int | None = None
        self._before: dict[str, tuple[int, int]] = {}
        self._first_queued: float | None = None
        """What had been spent when the first run of this call was queued."""
        self._compared: dict[str, Status] = {}
        self._comparison: report.Comparison | None = None

    def run(self) -> int:
        """Do what is missing as far as the budget goes, and return the exit code. Raises DomcliError."""
        for task in self._tasks:
            directory = RunDirectory(self._runs_dir / task.name)
            if directory.path.exists():
                refuse_others(task, directory.read_settings(), str(self._runs_dir))
                self._readers[task.name] = RunReader(directory)
        before = self._read()
        self._before = {name: position(run) for name, run in before.items()}
        actions = {task.name: action(before.get(task.name)) for task in self._tasks}
        self._tell_plan(actions)
        try:
            for task in self._tasks:
                if actions[task.name] in ("run", "resume") and not self._over():
                    self._launch(task, resume=actions[task.name] == "resume")
            self._watch()
        finally:
            self._stop()
        return self._conclude()

    def _tell_plan(self, actions: Mapping[str, Action]) -> None:
        for what in dict.fromkeys(actions.values()):
            _say(f"{what}: {', '.join(name for name, own in actions.items() if own == what)}")
        _say(f"at a time: {', '.join(f'{row} {count}' for row, count in self._jobs.items())}")

    def ask_to_stop(self, number: int, _frame: object) -> None:
        """Take a signal for the end of the budget; Ctrl-C has an exit code of its own."""
        self._signal = number
        _say(f"asked to stop by {signal.Signals(number).name}", sys.stderr)

    def _spent(self) -> float:
        return time.monotonic() - self._frame.began

    def _over(self) -> bool:
        return self._signal is not None or self._spent() >= self._budget - CLOSING_SECONDS

    def _read(self) -> dict[str, Run]:
        return {name: reader.read() for name, reader in self._readers.items()}

    def _launch(self, task: Task, *, resume: bool) -> None:
        """Queue a run, behind those that were queued before."""
        file = self._runs_dir.parent / "presets" / f"{task.preset}.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_text(file, task.file)
        new = ["run", str(file), "--seeds", str(task.settings.train.seed), "--name", task.name]
        words = ["resume", task.name] if resume else new
        words += ["--detach", "--devices", self._device, "--jobs-per-gpu", str(self._jobs[task.row])]
        ended = self._domcli(*words)
        if ended.returncode:
            self._problems.append(f"{task.name} could not be queued: {_last_line(ended.stderr)}")
            return
        if self._first_queued is None:
            self._first_queued = self._spent()
        self._readers[task.name] = RunReader(RunDirectory(self._runs_dir / task.name))

    def _watch(self) -> None:
        """Follow the runs to their end or that of the budget; a row that is newly finished is written down at once."""
        rows = self._whole_rows(self._read())
        next_tell = next_wake = 0.0
        while True:
            runs = self._read()
            if new := self._whole_rows(runs) - rows:
                rows |= new
                _say(f"finished: {', '.join(sorted(new))}")
                self._write(runs)
            now = time.monotonic()
            if now >= next_tell:
                _say(report.progress(self._tasks, runs, self._spent(), self._budget, self._left(runs)))
                next_tell = now + TELL_SECONDS
            if self._over() or not any(run.status in AT_WORK for run in runs.values()):
                return
            if now >= next_wake:
                queue.wake(self._runs_dir)
                next_wake = now + WAKE_SECONDS
            time.sleep(POLL_SECONDS)

    def _stop(self) -> None:
        """Take what waits out of the queue and have the trainers save their state; kill what does not."""
        names = self._at_work()
        if not names:
            return
        _say(f"stopping {', '.join(names)}")
        try:
            ended = self._domcli("stop", *names, timeout=STOP_SECONDS)
            problem = _last_line(ended.stderr) if ended.returncode else ""
        except subprocess.TimeoutExpired:
            problem = f"it has not stopped within {STOP_SECONDS:.0f} s"
        if problem and (left := self._at_work()):
            _say(f"{', '.join(left)} will be killed: {problem}", sys.stderr)
            self._domcli("kill", *left)
            self._killed = left

    def _at_work(self) -> list[str]:
        return [name for name, run in self._read().items() if run.status in AT_WORK]

    def _whole_rows(self, runs: Mapping[str, Run]) -> set[str]:
        return set(self._wanted.rows) - {task.row for task in self._missing(runs)}

    def _left(self, runs: dict[str, Run]) -> float | None:
        return seconds_left(self._tasks, runs, lambda task: self._jobs[task.row])

    def _conclude(self) -> int:
        """Write everything, print the summary, and return the exit code."""
        runs = self._read()
        lines = self._write(runs)
        _say("\n" + "\n".join(lines))
        failed, missing = self._failed(runs), self._missing(runs)
        if missing and self._signal == signal.SIGINT:
            return INTERRUPTED
        return FAILED if failed else MISSING if missing else DONE

    def _failed(self, runs: Mapping[str, Run]) -> list[str]:
        lost = [name for name, run in runs.items() if run.status == "lost" and name not in self._killed]
        return [*self._problems, *lost, *(name for name, run in runs.items() if run.status == "failed")]

    def _missing(self, runs: Mapping[str, Run]) -> list[Task]:
        return [task for task in self._tasks if task.name not in runs or runs[task.name].status != "finished"]

    def _write(self, runs: dict[str, Run]) -> list[str]:
        """Write summary, comparison and results into the folder of the output; return the lines of the summary."""
        comparison = self._compare(runs)
        lines = [
            *report.summary(self._wanted, self._tasks, runs, comparison),
            *self._problems,
            self._end(runs),
        ]
        content = report.results(self._wanted, self._tasks, runs, comparison)
        content |= {
            "seconds": self._spent(),
            "budget": self._budget,
            "together": self._jobs,
            "commit": _commit(),
        }
        content |= {"missing_seconds": self._left(runs), "problems": self._problems}
        replace_text(self._frame.output / "results.json", json.dumps(content, indent=2) + "\n")
        replace_text(self._frame.output / "summary.txt", "\n".join(lines) + "\n")
        return lines

    def _compare(self, runs: dict[str, Run]) -> report.Comparison | None:
        """Write the comparison with the paper, if any run is finished, and return it."""
        states = {name: run.status for name, run in runs.items()}
        if states == self._compared:
            return self._comparison
        self._compared = states
        if "finished" not in states.values():
            return None
        names = [task.name for task in self._tasks if task.name in runs]
        for ending in ("md", "json"):
            ended = self._domcli(
                "compare-runs", *names, "--paper", "-o", str(self._frame.output / f"comparison.{ending}")
            )
            if ended.returncode:
                raise ProcessError(f"the runs could not be compared: {_last_line(ended.stderr)}")
        self._comparison = json.loads((self._frame.output / "comparison.json").read_text(encoding="utf-8"))
        return self._comparison

    def _end(self, runs: dict[str, Run]) -> str:
        missing, total = self._missing(runs), len(self._tasks)
        spent = f"{self._spent():.0f} s of {self._budget:.0f} s used"
        if not missing:
            return f"All {total} runs are finished; {spent}."
        left = self._left(runs)
        more = "how long the others take is not known yet" if left is None else f"about {left:,.0f} s more are needed"
        stand = f"{total - len(missing)} of {total} runs are finished, {more}; {spent}."
        if self._first_queued is not None and self._in_vain(runs):
            known = start_seconds(runs), epoch_seconds(missing[0], self._tasks, runs)
            return f"{stand} {report.too_small(self._budget, self._first_queued, *known, CLOSING_SECONDS)}"
        return f"{stand} Call it again to go on with what is missing."

    def _in_vain(self, runs: Mapping[str, Run]) -> bool:
        """Tell whether the budget is over, and this call has brought no run any further."""
        if self._signal is not None or not self._over() or self._failed(runs):
            return False
        return all(position(run) <= self._before.get(name, (0, 0)) for name, run in runs.items())

    def _domcli(self, *words: str, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command of domcli beside the runs, out of reach of this terminal's Ctrl-C."""
        return subprocess.run(
            [sys.executable, "-m", "domcli", *words, "--runs-dir", str(self._runs_dir)],
            cwd=self._runs_dir.parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            start_new_session=True,
        )


def _say(text: str, file: TextIO | None = None) -> None:
    """Print a line; that nobody reads it any more must not keep trainers from being stopped."""
    with contextlib.suppress(OSError):
        print(text, file=file, flush=True)


def _commit() -> str | None:
    """Return the commit of this checkout, None outside of git."""
    command = ["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else "it said nothing"
