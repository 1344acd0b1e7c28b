"""The stages of a check, one after the other or side by side, within a budget; what they found is kept as they end.

results.json, schema 1 (raised when a key changes its meaning). Times are in seconds unless a key ends in another unit.

    schema, date, domcli, device, driver, python, torch, torchvision, cores     the machine and the versions
    size, images          full or tiny (--cpu); the archive that was trained on, or "made"
    budget, seconds       allowed and used so far
    complete, right       every stage has ended by itself; no stage has failed, nor an essential one been left out
    stages.NAME           state     ok, failed, over its limit, no time left, stopped
                          seconds, limit, essential
                          problems  sentences; empty if it is ok
                          lines     what it found, as the summary shows it
                          found     what it found, as it measured it: see the module gpu_NAME.py
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from check_limits import run_limited

from domcli.rundir import replace_text

SCHEMA = 1
LEAST_SECONDS = 8.0
"""A stage does not begin with less time left: loading torch alone takes half of it."""
LOG_LINES = 3
State = Literal["ok", "failed", "over its limit", "no time left", "stopped"]


@dataclass(frozen=True)
class Stage:
    """A part of the check; `limit` in seconds."""

    name: str
    limit: float
    command: tuple[str, ...]
    about: str
    advice: str
    """What to do if it fails, in a sentence."""
    essential: bool = True
    """Says whether the trainer is right; the others measure how fast it is."""
    alone: bool = False
    """Nothing else runs meanwhile: it measures times."""


@dataclass
class Outcome:
    """How a stage ended, and what it found."""

    stage: Stage
    state: State
    seconds: float = 0.0
    limit: float = 0.0
    problems: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Tell whether it says something against the trainer, or leaves a question open that matters."""
        return self.state != "ok" and (self.state != "no time left" or self.stage.essential)

    def content(self) -> dict[str, Any]:
        """Return its entry in results.json."""
        about = {"state": self.state, "seconds": round(self.seconds, 1), "limit": round(self.limit, 1)}
        parts = {"problems": self.problems, "lines": self.lines, "found": self.found}
        return {**about, "essential": self.stage.essential, **parts}


class Check:
    """A check while it runs; everything that it writes for good is in `output`."""

    def __init__(self, stages: Sequence[Stage], output: Path, about: Mapping[str, Any], budget: float) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self._stages = stages
        self._output = output
        self._about = about
        self._budget = budget
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._mark = uuid4().hex

    def run(self, environments: Mapping[str, Mapping[str, str]], together: int) -> None:
        """Do the stages, each in its environment, up to so many together; interrupted, end those at work and raise."""
        (self._output / "stages").mkdir(parents=True, exist_ok=True)
        self._keep()
        for alone, group in groupby(self._stages, key=lambda stage: stage.alone):
            with ThreadPoolExecutor(1 if alone else together) as pool:
                futures = [pool.submit(self._do, stage, environments[stage.name]) for stage in group]
                try:
                    for future in futures:
                        future.result()
                except BaseException:
                    self._stop.set()
                    raise

    @property
    def exit_code(self) -> int:
        """0 if all is right, 1 if something failed."""
        return 0 if self._right else 1

    @property
    def _right(self) -> bool:
        done = len(self.outcomes) == len(self._stages)
        return done and not any(outcome.failed for outcome in self.outcomes.values())

    def _do(self, stage: Stage, environment: Mapping[str, str]) -> None:
        outcome = self._outcome(stage, environment)
        with self._lock:
            self.outcomes[stage.name] = outcome
            self._keep()
            print(line_of(outcome), flush=True)

    def _outcome(self, stage: Stage, environment: Mapping[str, str]) -> Outcome:
        left = self._budget - (time.monotonic() - self._began)
        if self._stop.is_set():
            return Outcome(stage, "stopped", problems=["the check was stopped before it began"])
        if left < min(LEAST_SECONDS, stage.limit):
            return Outcome(stage, "no time left", problems=[f"{max(0.0, left):.0f} s of the budget were left"])
        limit = min(stage.limit, left)
        log = self._log(stage)
        try:
            ended = run_limited(stage.command, limit, log, environment, f"{self._mark} {stage.name}", self._stop)
        except OSError as error:
            return Outcome(stage, "failed", problems=[f"it could not be started: {error}"])
        outcome = Outcome(stage, "ok", ended.seconds, limit, **_told(self._told(stage)))
        if ended.code is None:
            outcome.state, why = self._cut_off(stage, limit)
            outcome.problems.append(why)
        elif outcome.problems or ended.code:
            outcome.state = "failed"
            if not outcome.problems:
                outcome.problems.append(f"exit code {ended.code}: {_last_line(log)}")
        return outcome

    def _cut_off(self, stage: Stage, limit: float) -> tuple[State, str]:
        if self._stop.is_set():
            return "stopped", "the check was stopped"
        if limit < stage.limit:
            return "no time left", f"the budget was used up after {limit:.0f} s of it"
        return "over its limit", f"it was killed after {limit:.0f} s; the log ends: {_last_line(self._log(stage))}"

    def _log(self, stage: Stage) -> Path:
        return self._output / "stages" / f"{stage.name}.log"

    def _told(self, stage: Stage) -> Path:
        return told_at(self._output, stage.name)

    def _keep(self) -> None:
        """Write everything known so far."""
        done = [self.outcomes[stage.name] for stage in self._stages if stage.name in self.outcomes]
        replace_text(self._output / "log.txt", "".join(self._logged(done)), durable=False)
        replace_text(self._output / "results.json", json.dumps(self.content(), indent=1) + "\n", durable=False)
        replace_text(self._output / "summary.txt", "\n".join(self.summary()) + "\n", durable=False)

    def _logged(self, done: Iterable[Outcome]) -> Iterator[str]:
        for outcome in done:
            log = self._log(outcome.stage)
            yield f"== {line_of(outcome)}\n"
            yield log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""

    def content(self) -> dict[str, Any]:
        """Return what results.json holds."""
        done = {stage.name: self.outcomes[stage.name] for stage in self._stages if stage.name in self.outcomes}
        complete = len(done) == len(self._stages) and all(one.state in ("ok", "failed") for one in done.values())
        return {
            "schema": SCHEMA,
            **self._about,
            "budget": self._budget,
            "seconds": round(time.monotonic() - self._began, 1),
            "complete": complete,
            "right": self._right,
            "stages": {name: outcome.content() for name, outcome in done.items()},
        }

    def summary(self) -> list[str]:
        """Return the lines that are shown last: what is right and what is not, numbers, and what to do next."""
        done = [self.outcomes[stage.name] for stage in self._stages if stage.name in self.outcomes]
        seconds = time.monotonic() - self._began
        title = f"{self._about.get('device')}, torch {self._about.get('torch')}, driver {self._about.get('driver')}"
        lines = ["", f"==== summary: {title}, {seconds:.0f} s ===="]
        for outcome in done:
            lines.append(f"{outcome.stage.name}: {outcome.state}, {outcome.seconds:.0f} s")
            lines += [f"    {line}" for line in outcome.lines]
            lines += [f"    PROBLEM {problem}" for problem in outcome.problems]
        lines += ["next:", *(f"    {line}" for line in self._next(done))]
        return lines

    def _next(self, done: Sequence[Outcome]) -> Iterator[str]:
        for outcome in done:
            if outcome.state in ("failed", "over its limit"):
                yield f"{outcome.stage.name}: {outcome.stage.advice}"
        missing = [stage.name for stage in self._stages if stage.name not in self.outcomes]
        missing += [one.stage.name for one in done if one.state in ("no time left", "stopped")]
        if missing:
            yield f"what was not done: check.sh --only {','.join(missing)}"
        if self._right:
            yield "nothing failed; keep the measurements: cp results.json benchmarks/results/DEVICE.json"
        yield f"everything is in {self._output}"


def line_of(outcome: Outcome) -> str:
    """Return the line that is shown when a stage has ended."""
    said = outcome.problems or outcome.lines or [""]
    return f"{outcome.stage.name:9} {outcome.state:14} {outcome.seconds:5.0f} s  {said[0]}".rstrip()


def told_at(output: Path, name: str) -> Path:
    """Return where a stage tells what it finds (see stage_report)."""
    return output / "stages" / f"{name}.json"


def _told(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {key: content[key] for key in ("problems", "lines", "found")}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    written = [line.strip() for line in lines if line.strip()]
    return written[-1][:300] if written else "(nothing written)"


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))
