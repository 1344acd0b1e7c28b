"""Measures case by case, the two sides in turns, and tells how far it is and what it has found."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from domcli.errors import DeviceError
from domcli.settings import Settings
from domcli.trainer.bench import remaining
from domcli.trainer.bench.cases import EVALUATIONS, TEST_IMAGES, Options, evaluates, steps_of
from domcli.trainer.bench.report import Case, Report
from domcli.trainer.bench.workers import Job, Machine, Side, Worker, WorkerFailed, worker

log = logging.getLogger(__name__)

Tell = Callable[[dict[str, Any]], None]
"""Takes a message: `progress` or `report`."""


class Runner:
    """A benchmark while it runs."""

    def __init__(self, options: Options, shown_as: str | None, tell: Tell) -> None:
        self._options = options
        self._shown_as = shown_as
        self._tell = tell
        self._schedule = remaining.Schedule()
        self._report: Report

    def run(self) -> None:
        """Measure everything, and tell the report anew after every measurement. Raises DeviceError."""
        machine = self._look_at_machine()
        if self._shown_as is not None and machine.device_type == "cuda":
            machine.environment["device"] = self._shown_as
        self._report = Report(self._options, machine)
        cases = [Case(name, self._options.settings(name, machine.threshold)) for name in self._options.cases()]
        for case in cases:
            self._plan(case, self._schedule.plan)
        self._tell_report(complete=False)
        for case in cases:
            self._report.cases.append(case)
            try:
                self._measure(case)
            except WorkerFailed as failed:
                case.problem = str(failed)
            self._tell_report(complete=False)
        self._tell_report(complete=True)

    def _look_at_machine(self) -> Machine:
        self._tell(
            {"kind": "progress", "case": "machine", "doing": "peak and bandwidth", "fraction": 0.0, "remaining": None}
        )
        settings = self._options.settings(self._options.cases()[0])
        began = time.monotonic()
        try:
            with worker(Job("machine", settings, self._options.device)) as process:
                machine: Machine = process.ask("describe")
        except WorkerFailed as failed:
            raise DeviceError(str(failed)) from None
        self._schedule.plan(remaining.START, remaining.START_SECONDS)
        self._schedule.done(remaining.START, remaining.START_SECONDS, time.monotonic() - began)
        return machine

    def _plan(self, case: Case, add: Callable[[str, float], None]) -> None:
        """Add what a case needs to the schedule."""
        for side in self._sides(case.settings):
            add(remaining.START, remaining.START_SECONDS)
            for _ in range(self._options.pairs_of(case.settings) + 1):
                add(side, self._guess(case.settings, side))
        if evaluates(case.settings):
            for _ in range(self._evaluations() + 1):
                add("evaluation", self._evaluation_guess(case.settings))

    def _measure(self, case: Case) -> None:
        """Measure a case: pairs in which the sides take turns, then the evaluation."""
        sides = self._sides(case.settings)
        job = {side: Job(side, case.settings, self._options.device, self._steps(case.settings)) for side in sides}
        with ExitStack() as stack:
            workers = {side: stack.enter_context(worker(job[side])) for side in sides}
            began = time.monotonic()
            self._say(case, "starting")
            for side in sides:  # they set up at the same time, so the second is seldom waited for
                case.environments[side] = workers[side].ask("describe")
                seconds, began = time.monotonic() - began, time.monotonic()
                self._schedule.done(remaining.START, remaining.START_SECONDS, seconds)
            pairs = self._options.pairs_of(case.settings)
            for pair in range(pairs + 1):
                # Whoever is first in one pair is second in the next; the first pair of all warms up and does not count.
                for side in sides if pair % 2 else sides[::-1]:
                    self._say(case, f"{side}, {f'pair {pair} of {pairs}' if pair else 'warm-up'}")
                    measurement = self._timed(case, side, workers[side], "measure")
                    if pair:
                        case.measured[side].append(measurement)
                if pair:
                    self._tell_report(complete=False)
            if evaluates(case.settings):
                self._evaluate(case, workers["domcli"])
            case.environments["domcli"] = workers["domcli"].ask("describe")

    def _evaluate(self, case: Case, process: Worker) -> None:
        for repeat in range(self._evaluations() + 1):
            self._say(case, "evaluation, " + (f"{repeat} of {self._evaluations()}" if repeat else "warm-up"))
            timed = self._timed(case, "evaluation", process, "evaluate")
            if repeat:
                case.evaluations.append(timed.seconds)

    def _timed(self, case: Case, kind: str, process: Worker, request: str) -> Any:
        """Have a process measure, and note how long that took."""
        guess = self._evaluation_guess(case.settings) if kind == "evaluation" else self._guess(case.settings, kind)
        began = time.monotonic()
        found = process.ask(request)
        self._schedule.done(kind, guess, time.monotonic() - began)
        return found

    def _sides(self, settings: Settings) -> tuple[Side, ...]:
        return ("plain", "domcli") if self._options.compares(settings) else ("domcli",)

    def _steps(self, settings: Settings) -> int:
        return steps_of(settings, self._report.machine.device_type)

    def _evaluations(self) -> int:
        return 1 if self._options.quick else EVALUATIONS

    def _guess(self, settings: Settings, side: str) -> float:
        return self._steps(settings) * remaining.step_guess(settings, side, self._report.machine.limits.flops)

    def _evaluation_guess(self, settings: Settings) -> float:
        images = TEST_IMAGES[self._report.machine.device_type]
        return remaining.evaluation_guess(settings, images, self._report.machine.limits.flops)

    def _say(self, case: Case, doing: str) -> None:
        log.info("%s: %s", case.name, doing)
        about = {"fraction": self._schedule.fraction, "remaining": self._schedule.remaining}
        self._tell({"kind": "progress", "case": case.name, "doing": doing, **about})

    def _tell_report(self, complete: bool) -> None:
        self._tell({"kind": "report", "report": self._report.content(complete)})
