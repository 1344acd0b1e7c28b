"""The stages of a check, one after the other or side by side, within a budget; what they found is kept as they end.

results.json, schema 2 (raised when a key changes its meaning). Times are in seconds unless a key ends in another unit.

    schema, date, domcli, device, driver, python, torch, torchvision, cores     the machine and the versions
    size, images          full or tiny (--cpu); the archive that was trained on, or "made"
    budget, seconds       allowed and used so far
    complete              every stage that there is, asked for or not, has come to an end of its own: ok or failed
    right                 true: every essential stage that there is was done, and no stage has failed; false: one has
                          failed or was over its limit; null: neither, so it is not known
    stages.NAME           each that was asked for
                          state     ok, failed, over its limit; cut off: no time left, stopped; not begun
                          seconds, limit, essential
                          problems  sentences; empty if it is ok or not begun
                          lines     what it found, as the summary shows it
                          found     what it found, as it measured it: see the module gpu_NAME.py
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import uuid4

from check_limits import run_limited
from check_outcome import LEAST_SECONDS, WRONG, Outcome, Plan, Stage, State, line_of, right, unknown, wrong
from check_summary import summary

from domcli.files import replace_text

SCHEMA = 2


class Check:
    """A check while it runs."""

    def __init__(self, plan: Plan) -> None:
        self.outcomes = {stage.name: Outcome(stage) for stage in plan.stages}
        self._plan = plan
        self._began = time.monotonic()
        self._why_not = "their turn has not come yet"
        self._signal: int | None = None
        self._barred = threading.Event()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._mark = uuid4().hex

    def run(self, environments: Mapping[str, Mapping[str, str]], together: int) -> None:
        """Do the stages, each in its environment, up to so many together."""
        (self._plan.output / "stages").mkdir(parents=True, exist_ok=True)
        self._keep()
        for alone, group in groupby(self._plan.stages, key=lambda stage: stage.alone):
            with ThreadPoolExecutor(1 if alone else together) as pool:
                for future in [pool.submit(self._do, stage, environments[stage.name]) for stage in group]:
                    future.result()

    def ask_to_stop(self, number: int, frame: FrameType | None = None) -> None:
        """End the stages at work and begin no other: the handler of signals while stages run."""
        del frame
        self._signal = number
        self._why_not = "the check was stopped"
        self._stop.set()

    @property
    def exit_code(self) -> int:
        """0 if all that was asked for is right, 1 if something failed or was not done; 128 + N after signal N."""
        if self._signal is not None:
            return 128 + self._signal
        done = list(self.outcomes.values())
        return 1 if wrong(done) or unknown(done) else 0

    def _do(self, stage: Stage, environment: Mapping[str, str]) -> None:
        outcome = self._outcome(stage, environment)
        with self._lock:
            self.outcomes[stage.name] = outcome
            if stage.decides and outcome.state in WRONG:
                self._why_not = f"nothing else counts before {stage.name} is ok"
                self._barred.set()
            self._keep()
            if outcome.state != "not begun":
                print(line_of(outcome), flush=True)

    def _outcome(self, stage: Stage, environment: Mapping[str, str]) -> Outcome:
        left = self._plan.budget - (time.monotonic() - self._began)
        if self._stop.is_set() or self._barred.is_set():
            return Outcome(stage)
        if left < min(LEAST_SECONDS, stage.limit):
            self._why_not = f"the budget of {self._plan.budget:.0f} s is too small for more"
            return Outcome(stage)
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
        return self._plan.output / "stages" / f"{stage.name}.log"

    def _told(self, stage: Stage) -> Path:
        return told_at(self._plan.output, stage.name)

    def _keep(self) -> None:
        """Write everything known so far."""
        replace_text(self._plan.output / "log.txt", "".join(self._logged()), durable=False)
        replace_text(self._plan.output / "results.json", json.dumps(self.content(), indent=1) + "\n", durable=False)
        replace_text(self._plan.output / "summary.txt", "\n".join(self.summary()) + "\n", durable=False)

    def _logged(self) -> Iterator[str]:
        for outcome in (one for one in self.outcomes.values() if one.state != "not begun"):
            log = self._log(outcome.stage)
            yield f"== {line_of(outcome)}\n"
            yield log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""

    def content(self) -> dict[str, Any]:
        """Return what results.json holds."""
        outcomes, others = list(self.outcomes.values()), self._plan.others
        return {
            "schema": SCHEMA,
            **self._plan.about,
            "budget": self._plan.budget,
            "seconds": round(time.monotonic() - self._began, 1),
            "complete": not others and all(one.state in ("ok", "failed") for one in outcomes),
            "right": right(outcomes, others),
            "stages": {name: outcome.content() for name, outcome in self.outcomes.items()},
        }

    def summary(self) -> list[str]:
        """Return the lines that are shown last."""
        return summary(self._plan, list(self.outcomes.values()), time.monotonic() - self._began, self._why_not)


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
