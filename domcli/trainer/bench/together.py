"""Measures how fast 1, 2, 4, 8 trainers on one device are at the same time, each a process of its own."""

from __future__ import annotations

import itertools
import logging
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from domcli import devices
from domcli.sharing import figures, mps
from domcli.trainer.bench import remaining, window
from domcli.trainer.bench.cases import TRAINERS, Options
from domcli.trainer.bench.messages import Job, Machine, Prepared
from domcli.trainer.bench.room import Room
from domcli.trainer.bench.runner import Tell, look_at_machine
from domcli.trainer.bench.together_report import Crowd, Paradigm, TogetherReport
from domcli.trainer.bench.workers import Worker, WorkerFailed, worker

log = logging.getLogger(__name__)

SECONDS, QUICK_SECONDS = 10.0, 2.0
"""That trainers train while they are measured, if that is enough for LEAST_STEPS of each."""
LEAST_STEPS = 5
PARTS = 5
"""Of that time, to show how steady it was."""
LEAD_SECONDS = 0.3
"""Between telling trainers when to begin and that time."""
THREADS = "OMP_NUM_THREADS"
PREPARE, TRAIN = "prepare", "train"
PREPARING_STEPS = 4


@dataclass(frozen=True)
class Mode:
    """Without NVIDIA's Multi-Process Service, or with it; `environment` is that of the trainers."""

    service: mps.Service | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


class TogetherRunner:
    """A benchmark of trainers at the same time, while it runs."""

    def __init__(self, options: Options, shown_as: str | None, tell: Tell) -> None:
        self._options = options
        self._shown_as = shown_as
        self._tell = tell
        self._schedule = remaining.Schedule()
        self._room: Room
        self._report: TogetherReport
        self._device: str
        self._counts: Sequence[int]

    def run(self) -> None:
        """Measure everything, and tell the report anew after every measurement. Raises DeviceError."""
        options, names = self._options, self._options.paradigms()
        settings = {name: options.settings(name) for name in names}
        machine = look_at_machine(settings[names[0]], options.device, self._shown_as, self._schedule, self._tell)
        # In a process that cannot reach the GPU, `auto` would take the CPU.
        self._device = machine.device_type if options.device == "auto" else options.device
        self._room = Room(machine.device_type)
        product = self._room.product or machine.environment["device_name"]
        self._report = TogetherReport(options, machine, product, devices.cpu_count(), self._room.total)
        self._counts = _counts(options, machine)
        running = machine.device_type == "cuda" and mps.answers()
        modes = 2 if running or (machine.device_type == "cuda" and mps.program()) else 1
        planned = [[Paradigm(name, settings[name], mode == 1) for name in names] for mode in range(modes)]
        for paradigms in planned:
            for paradigm, count in itertools.product(paradigms, self._counts):
                self._plan(paradigm, count)
        with ExitStack() as stack:
            # A folder in which no daemon listens keeps trainers from the one that runs.
            nowhere = stack.enter_context(tempfile.TemporaryDirectory(prefix="domcli-no-mps-")) if running else None
            self._measure_all(planned[0], Mode(environment={mps.PIPE: nowhere} if nowhere else {}))
            service = self._service(stack, machine, running=running)
            if service is not None:
                self._measure_all(planned[1], Mode(service, service.environment))
        self._tell_report(complete=True)

    def _service(self, stack: ExitStack, machine: Machine, *, running: bool) -> mps.Service | None:
        """Return the service to measure with, None if there is none; one of our own ends with `stack`."""
        if machine.device_type != "cuda":
            return None
        if running:
            self._report.service = "of a daemon that runs on this machine already"
            return mps.Service({})
        if mps.program() is None:
            self._report.service_problem = f"{mps.PROGRAM} is not found"
            return None
        try:
            service = stack.enter_context(mps.own_service())
        except mps.MpsError as error:
            self._report.service_problem = str(error)
            return None
        self._report.service = "of a daemon of its own"
        return service

    def _measure_all(self, paradigms: Sequence[Paradigm], mode: Mode) -> None:
        for paradigm in paradigms:
            self._report.paradigms.append(paradigm)
            self._measure(paradigm, mode)
            self._tell_report(complete=False)
            if mode.service is not None and not paradigm.measured and paradigm.crowds[-1].fits:
                # It will not be better for the other paradigms: the service does not work here.
                self._report.service = None
                self._report.service_problem = f"{paradigm.problem}{mode.service.last_words()}"
                self._report.paradigms.remove(paradigm)
                return

    def _measure(self, paradigm: Paradigm, mode: Mode) -> None:
        """Measure more and more trainers, as long as they fit, and remember what came of it."""
        for count in self._counts:
            crowd = Crowd(count)
            paradigm.crowds.append(crowd)
            try:
                self._refuse_too_many(paradigm, crowd)
                self._measure_crowd(paradigm, crowd, mode)
            except WorkerFailed as failed:
                crowd.problem, crowd.fits = str(failed), not failed.memory
                if crowd.fits or not paradigm.measured:
                    paradigm.problem = crowd.problem
                break
            self._tell_report(complete=False)
        for count in self._counts[len(paradigm.crowds) :]:
            self._plan(paradigm, count, skip=True)
        paradigm.complete = paradigm.problem is None
        if paradigm.decides:
            self._remember(paradigm)

    def _refuse_too_many(self, paradigm: Paradigm, crowd: Crowd) -> None:
        """Raise WorkerFailed if they cannot fit: on a CPU, to try it may cost other programs their lives."""
        before, free = max((one.memory or 0 for one in paradigm.crowds), default=0), self._room.free()
        if before and free is not None and crowd.trainers * before > free:
            self._plan(paradigm, crowd.trainers, skip=True)
            raise WorkerFailed(
                f"{crowd.trainers} trainers would take {crowd.trainers * before / 1e9:.1f} GB of memory, and "
                f"{free / 1e9:.1f} GB are free",
                memory=True,
            )

    def _measure_crowd(self, paradigm: Paradigm, crowd: Crowd, mode: Mode) -> None:
        environment = {THREADS: str(_threads(crowd.trainers)), **mode.environment}
        job = Job("trainer", paradigm.settings, self._device, environment=environment)
        used = self._room.used()
        with ExitStack() as stack:
            began = time.monotonic()
            self._say(paradigm, crowd, "starting")
            workers = [stack.enter_context(worker(job)) for _ in range(crowd.trainers)]
            prepared: list[Prepared] = _all(workers, PREPARE)
            began = self._done(PREPARE, self._guess(paradigm, crowd.trainers)[PREPARE], began)
            crowd.threads = prepared[0].threads
            engines = [one.engine for one in prepared]
            crowd.engines = [engine for place, engine in enumerate(engines) if engine not in engines[:place]]
            crowd.memory = self._room.each([one.memory for one in prepared], used)
            if mode.service is not None and not mode.service.servers():
                raise WorkerFailed("the trainers did not connect to it")
            self._say(paradigm, crowd, "measuring")
            begin = time.monotonic() + LEAD_SECONDS
            end = begin + self._seconds(paradigm, crowd.trainers, max(one.step_seconds for one in prepared))
            marks = _all(workers, TRAIN, begin, end)
            self._done(TRAIN, self._guess(paradigm, crowd.trainers)[TRAIN], began)
        try:
            crowd.seconds, crowd.rates = window.rates(marks, PARTS)
        except window.NotTogether as error:
            raise WorkerFailed(str(error)) from None

    def _seconds(self, paradigm: Paradigm, count: int, step: float) -> float:
        """Return how long to measure, with steps of so many seconds or, where that is more, `count` times one alone."""
        alone = paradigm.alone()
        return self._seconds_for(max(step, count / alone) if alone else step)

    def _seconds_for(self, step: float) -> float:
        return max(QUICK_SECONDS if self._options.quick else SECONDS, LEAST_STEPS * step)

    def _remember(self, paradigm: Paradigm) -> None:
        try:
            figures.remember(self._report.figures(paradigm))
        except OSError as error:
            log.warning("cannot keep what was measured in %s: %s", figures.file(), error)
        else:
            self._report.kept = str(figures.file())

    def _plan(self, paradigm: Paradigm, count: int, *, skip: bool = False) -> None:
        """Add the time for so many trainers to the schedule, or take it off."""
        change = self._schedule.skip if skip else self._schedule.plan
        for kind, seconds in self._guess(paradigm, count).items():
            change(kind, seconds)

    def _guess(self, paradigm: Paradigm, count: int) -> dict[str, float]:
        """Return about the seconds of starting and preparing so many trainers, and of measuring them."""
        step = count * remaining.step_guess(paradigm.settings, "domcli", self._report.machine.limits.flops)
        starting = remaining.START_SECONDS * max(1, count / devices.cpu_count())
        return {PREPARE: starting + PREPARING_STEPS * step, TRAIN: self._seconds_for(step)}

    def _done(self, kind: str, guess: float, began: float) -> float:
        """Note in the schedule what is done since then, and return the time."""
        now = time.monotonic()
        self._schedule.done(kind, guess, now - began)
        return now

    def _say(self, paradigm: Paradigm, crowd: Crowd, doing: str) -> None:
        case = f"{paradigm.name} with MPS" if paradigm.mps else paradigm.name
        what = f"{doing} {crowd.trainers} trainer{'s' if crowd.trainers > 1 else ''}"
        log.info("%s: %s", case, what)
        about = {"fraction": self._schedule.fraction, "remaining": self._schedule.remaining}
        self._tell({"kind": "progress", "case": case, "doing": what, **about})

    def _tell_report(self, complete: bool) -> None:
        self._tell({"kind": "report", "report": self._report.content(complete)})


def _counts(options: Options, machine: Machine) -> list[int]:
    """Return how many trainers to measure, always one alone."""
    most = devices.cpu_count() if machine.device_type == "cpu" else max(TRAINERS)
    return sorted({1, *(options.trainers or (count for count in TRAINERS if count <= most))})


def _threads(count: int) -> int:
    """Return how many CPU threads a trainer gets from the queue where so many may run."""
    wanted = os.environ.get(THREADS, "")
    return int(wanted) if wanted.isdecimal() and int(wanted) > 0 else max(1, devices.cpu_count() // count)


def _all(workers: Sequence[Worker], request: str, *arguments: object) -> list[Any]:
    """Have all answer at the same time. Raises WorkerFailed."""
    for one in workers:
        one.send(request, *arguments)
    return [one.answer() for one in workers]
