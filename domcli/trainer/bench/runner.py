"""Measures case by case, the two sides in turns, and tells how far it is and what it has found."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from domcli.catalogue import ATTACKS
from domcli.errors import DeviceError
from domcli.settings import Settings
from domcli.timing import kept
from domcli.trainer.bench import remaining
from domcli.trainer.bench.cases import EVALUATIONS, TEST_IMAGES, Options, evaluates, steps_of
from domcli.trainer.bench.messages import Job, Machine, Side
from domcli.trainer.bench.report import Case, Report
from domcli.trainer.bench.workers import Worker, WorkerFailed, worker

log = logging.getLogger(__name__)

Tell = Callable[[dict[str, Any]], None]
"""Takes a message: `progress` or `report`."""


def look_at_machine(
    settings: Settings, device: str, shown_as: str | None, schedule: remaining.Schedule, tell: Tell
) -> Machine:
    """Return what is computed on; a GPU is told of as what it is `shown_as`. Raises DeviceError."""
    tell({"kind": "progress", "case": "machine", "doing": "peak and bandwidth", "fraction": 0.0, "remaining": None})
    began = time.monotonic()
    try:
        with worker(Job("machine", settings, device)) as process:
            machine: Machine = process.ask("describe")
    except WorkerFailed as failed:
        raise DeviceError(str(failed)) from None
    schedule.plan(remaining.START, remaining.START_SECONDS)
    schedule.done(remaining.START, remaining.START_SECONDS, time.monotonic() - began)
    if shown_as is not None and machine.device_type == "cuda":
        machine.environment["device"] = shown_as
    return machine


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
        settings = self._options.settings(self._options.cases()[0])
        machine = look_at_machine(settings, self._options.device, self._shown_as, self._schedule, self._tell)
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
            self._remember()
            self._tell_report(complete=False)
        self._tell_report(complete=True)

    def _remember(self) -> None:
        """Keep what has been measured so far, for estimates of runs."""
        try:
            kept.remember(self._report.conditions(), self._report.measured())
        except OSError as error:
            log.warning("cannot keep what was measured in %s: %s", kept.file(), error)

    def _plan(self, case: Case, add: Callable[[str, float], None]) -> None:
        """Add what a case needs to the schedule."""
        for side in self._sides(case.settings):
            add(remaining.START, remaining.START_SECONDS)
            for _ in range(self._options.pairs_of(case.settings) + 1):
                add(side, self._guess(case.settings, side))
        if evaluates(case.settings):
            for _ in range(self._evaluations() + 1):
                add("evaluation", self._evaluation_guess(case.settings))
        for _ in range(self._plain_evaluations(case.settings)):
            add("plain evaluation", self._guess_of("plain evaluation", case.settings))

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
            for repeat in range(self._plain_evaluations(case.settings)):
                self._say(case, f"plain, evaluation {repeat + 1}")
                case.plain_evaluations.append(self._timed(case, "plain evaluation", workers["plain"], "evaluate"))
            case.environments["domcli"] = workers["domcli"].ask("describe")

    def _evaluate(self, case: Case, process: Worker) -> None:
        for repeat in range(self._evaluations() + 1):
            self._say(case, "evaluation, " + (f"{repeat} of {self._evaluations()}" if repeat else "warm-up"))
            timed = self._timed(case, "evaluation", process, "evaluate")
            if repeat:
                case.evaluations.append(timed.seconds)

    def _timed(self, case: Case, kind: str, process: Worker, request: str) -> Any:
        """Have a process measure, and note how long that took."""
        guess = self._guess_of(kind, case.settings)
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

    def _plain_evaluations(self, settings: Settings) -> int:
        """Return how often the plain loop's evaluation is measured: beside PGD-10 without DOM, where it takes part."""
        if (
            not ATTACKS[settings.attack.name].several_steps
            or not evaluates(settings)
            or not self._options.compares(settings)
        ):
            return 0
        return self._evaluations() if self._report.machine.device_type == "cuda" else 1

    def _guess_of(self, kind: str, settings: Settings) -> float:
        if kind == "evaluation":
            return self._evaluation_guess(settings)
        if kind == "plain evaluation":
            steps = self._steps(settings)
            return remaining.plain_evaluation_share(settings) * self._guess(settings, "plain") / steps
        return self._guess(settings, kind)

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
