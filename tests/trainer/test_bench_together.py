"""Trainers at the same time: what is computed from their steps, when more are tried, MPS, and what is remembered."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from domcli import devices
from domcli.devices import Gpu
from domcli.sharing import figures, mps
from domcli.trainer.bench import together, trainers, window
from domcli.trainer.bench.cases import Options
from domcli.trainer.bench.floor import Limits
from domcli.trainer.bench.messages import Job, Machine, Prepared
from domcli.trainer.bench.room import DRIVER_BYTES, Room
from domcli.trainer.bench.together import TogetherRunner
from domcli.trainer.bench.trainers import trainer_side
from domcli.trainer.bench.workers import WorkerFailed

GB = 1_000_000_000
PACES = {1: 100.0, 2: 75.0, 4: 40.0, 8: 20.0}
"""Steps/s of each trainer, by how many train."""


def test_rates_are_those_of_the_time_in_which_all_train():
    fast = [10.0 + 0.1 * step for step in range(101)]  # until 20.0
    slow = [12.0 + 0.5 * step for step in range(11)]  # until 17.0
    seconds, parts = window.rates([fast, slow], 5)
    assert seconds == pytest.approx(5.0)
    assert parts == [pytest.approx([10.0, 2.0])] * 5


def test_steps_on_the_edges_count_in_part():
    uneven = [0.0, 1.0, 4.0, 5.0]
    _, parts = window.rates([uneven, [0.5, 4.5]], 2)
    # From 0.5 to 2.5: half of the second's step and half of the next; then its other half and half of the last one.
    assert parts == [pytest.approx([0.5, 0.25]), pytest.approx([0.5, 0.25])]


@pytest.mark.parametrize("trainers", [[[1.0, 2.0], [2.0, 3.0]], [[1.0, 2.0], []], [[1.0]], []])
def test_trainers_that_did_not_train_at_the_same_time_have_no_rate(trainers):
    with pytest.raises(window.NotTogether):
        window.rates(trainers, 5)


class CountedClock:
    """A second passes with every look at it, so that a slow machine changes nothing."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch) -> CountedClock:
    counted = CountedClock()
    monkeypatch.setattr(trainers, "time", counted)
    return counted


def test_a_trainer_trains_from_one_time_to_another(monkeypatch, clock):
    monkeypatch.setattr("domcli.trainer.device.keep_freed_memory", lambda: None)  # it is for the whole process
    answers = trainer_side(Job("trainer", Options(width=4, batch_size=16).settings("fgsm"), "cpu"))
    prepared = answers["prepare"]()
    assert prepared.step_seconds == 2  # the looks at its beginning, its one mark and its end
    assert prepared.memory > 50_000_000
    assert (prepared.threads, prepared.engine["steps"]) == (1, "one operation at a time")
    for _ in range(2):
        begin = clock.now + 100
        end = begin + 10
        # The clock is looked at to wait, before every step and when it is done.
        assert answers["train"](begin, end) == [begin + late for late in (2, 4, 6, 8, 10)]


def test_a_trainer_begins_another_epoch_when_one_is_done(monkeypatch, clock):
    monkeypatch.setattr("domcli.trainer.device.keep_freed_memory", lambda: None)
    monkeypatch.setattr(trainers, "DISTINCT", 32)
    monkeypatch.setitem(trainers.IMAGES, "cpu", 64)
    answers = trainer_side(Job("trainer", Options(width=4, batch_size=16).settings("natural"), "cpu"))
    prepared = answers["prepare"]()
    # Four steps are an epoch.
    assert prepared.step_seconds == 2
    assert len(answers["train"](clock.now, clock.now + 20)) > 4


class Fake:
    """A machine of which everything is known; trainers have PACES and take `memory` each."""

    def __init__(self) -> None:
        self.running = 0
        self.jobs: list[Job] = []
        self.memory = 2 * GB
        self.fails: Callable[[int, Job], WorkerFailed | None] = lambda number, job: None
        self.servers = [7]
        self.messages: list[dict[str, Any]] = []

    @contextlib.contextmanager
    def worker(self, job: Job) -> Iterator[Fake]:
        self.running += 1
        self.jobs.append(job)
        try:
            yield self
        finally:
            self.running -= 1

    def send(self, request: str, *arguments: float) -> None:
        self.request, self.arguments = request, arguments

    def answer(self) -> Any:
        if (failure := self.fails(self.running, self.jobs[-1])) is not None:
            raise failure
        if self.request == "prepare":
            return Prepared(0.01, self.memory, 3, {"steps": "fake"})
        begin, end = self.arguments
        steps = int((end - begin) * PACES[self.running])
        return [begin + step / PACES[self.running] for step in range(1, steps + 1)]

    def gpus(self) -> list[Gpu]:
        return [Gpu(0, "GPU-a", "H200", 100 * GB, GB + 3 * GB * self.running, None, ())]

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = [one for one in self.messages if one["kind"] == "report"][-1]["report"]
        return found

    def run(self, *only: str, **changes: Any) -> dict[str, Any]:
        TogetherRunner(Options(only=only or ("pgd-10",), **changes), "cuda:3", self.messages.append).run()
        assert self.running == 0
        return self.report()


@pytest.fixture
def fake(tmp_path, monkeypatch) -> Fake:
    fake = Fake()
    environment = {"precision": "bfloat16", "device_name": "NVIDIA H200", "torch": "9", "device": "cuda:3"}
    limits = Limits(1e15, "known", 1e12, "known")
    machine = Machine("cuda", environment, limits, 2.3)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(devices, "cpu_count", lambda: 16)
    monkeypatch.setattr(devices, "gpus", fake.gpus)
    monkeypatch.setattr(together, "look_at_machine", lambda *_: machine)
    monkeypatch.setattr(together, "worker", fake.worker)
    monkeypatch.setattr(mps, "answers", lambda: False)
    monkeypatch.setattr(mps, "program", lambda: None)
    monkeypatch.setattr(mps.Service, "servers", lambda service: fake.servers)
    return fake


def test_more_and_more_trainers_are_measured(fake):
    report = fake.run()
    (case,) = report["cases"]
    assert (case["case"], case["mps"], case["problem"], case["auto"]) == ("pgd-10", False, None, 4)
    found = case["together"]
    assert [one["trainers"] for one in found] == [1, 2, 4, 8]
    assert [one["threads"] for one in found] == [3] * 4
    assert [one["steps_per_second"] for one in found] == pytest.approx([100, 150, 160, 160], rel=1e-3)
    assert [one["images_per_second"] for one in found] == pytest.approx([12800, 19200, 20480, 20480], rel=1e-3)
    assert [one["times_one"] for one in found] == pytest.approx([1, 1.5, 1.6, 1.6], rel=1e-3)
    assert [one["slow_down"] for one in found] == pytest.approx([1, 4 / 3, 2.5, 5], rel=1e-3)
    assert [one["memory"] for one in found] == [3 * GB] * 4
    assert [len(one["measurements"]) for one in found] == [5] * 4
    assert [len(part["steps_per_second"]) for part in found[3]["measurements"]] == [8] * 5
    assert report["complete"]
    assert report["mps"] == {"service": None, "problem": "nvidia-cuda-mps-control is not found"}
    # As the queue launches trainers: each with its share of the cores, on the device by its name.
    assert [job.environment for job in fake.jobs[-9:]] == [{"OMP_NUM_THREADS": "4"}] + [{"OMP_NUM_THREADS": "2"}] * 8
    assert {job.device for job in fake.jobs} == {"cuda"}


def test_what_was_measured_is_remembered(fake):
    report = fake.run("pgd-10", "natural", trainers=(2,))
    assert report["remembered"] == str(figures.file())
    kept = {one.paradigm: one for one in figures.recall()}
    assert kept.keys() == {"none", "pgd"}
    pgd = kept["pgd"]
    assert (pgd.device, pgd.cores, pgd.mps, pgd.width, pgd.batch_size) == ("H200", None, False, 64, 128)
    assert (pgd.precision, pgd.torch) == ("bfloat16", figures.torch_version())
    assert [(one.trainers, one.memory) for one in pgd.together] == [(1, 3 * GB), (2, 3 * GB)]


def test_progress_never_goes_back(fake):
    fake.run()
    told = [one for one in fake.messages if one["kind"] == "progress"]
    assert [one["doing"] for one in told[:4]] == [
        "starting 1 trainer",
        "measuring 1 trainer",
        "starting 2 trainers",
        "measuring 2 trainers",
    ]
    assert all(one["remaining"] >= 0 for one in told)
    assert told[-1]["fraction"] > 0


@pytest.mark.parametrize(("memory", "fits"), [(True, False), (False, True)])
def test_more_are_not_tried_after_those_that_fail(fake, memory, fits):
    fake.fails = lambda number, job: WorkerFailed("so it is", memory=memory) if number == 4 else None
    report = fake.run()
    (case,) = report["cases"]
    last = case["together"][-1]
    assert [one["trainers"] for one in case["together"]] == [1, 2, 4]
    assert (last["fits"], last["problem"], last["images_per_second"]) == (fits, "so it is", None)
    # What does not fit is a result; anything else leaves the case without one.
    assert report["complete"] is memory
    assert (case["problem"] is None) is memory
    assert case["auto"] == (2 if memory else None)
    assert bool(figures.recall()) is memory


def test_one_number_of_trainers_alone_decides_nothing_and_replaces_nothing(fake):
    fake.run()
    before = figures.recall()
    report = fake.run(trainers=(1,))
    assert report["complete"]
    assert report["cases"][0]["auto"] is None
    assert figures.recall() == before
    assert before[0].together[-1].trainers > 1


def test_trainers_that_cannot_fit_are_not_started(fake):
    fake.memory = 30 * GB
    (case,) = fake.run()["cases"]
    assert [one["fits"] for one in case["together"]] == [True, True, False]
    assert case["together"][2]["problem"] == "4 trainers would take 120.0 GB of memory, and 99.0 GB are free"
    assert len(fake.jobs) == 3


def test_one_trainer_that_does_not_fit_leaves_nothing_measured(fake):
    fake.fails = lambda number, job: WorkerFailed("memory does not suffice", memory=True)
    report = fake.run()
    assert report["cases"][0]["problem"] == "memory does not suffice"
    assert report["cases"][0]["auto"] is None
    assert figures.recall() == []


def test_a_service_of_its_own_is_measured_last_and_ends(fake, monkeypatch):
    ended = []

    @contextlib.contextmanager
    def own_service():
        try:
            yield mps.Service({mps.PIPE: "/own/pipe"})
        finally:
            ended.append(len(fake.jobs))

    monkeypatch.setattr(mps, "program", lambda: "there")
    monkeypatch.setattr(mps, "own_service", own_service)
    report = fake.run("natural", "pgd-10", trainers=(2,))
    assert [(one["case"], one["mps"]) for one in report["cases"]] == [
        ("natural", False),
        ("pgd-10", False),
        ("natural", True),
        ("pgd-10", True),
    ]
    assert report["mps"] == {"service": "of a daemon of its own", "problem": None}
    assert [job.environment.get(mps.PIPE) for job in fake.jobs] == [None] * 6 + ["/own/pipe"] * 6
    assert ended == [12]
    assert {(one.paradigm, one.mps) for one in figures.recall()} == {
        (paradigm, on) for paradigm in ("none", "pgd") for on in (False, True)
    }


def test_a_service_that_cannot_be_started_is_named(fake, monkeypatch):
    @contextlib.contextmanager
    def own_service():
        raise mps.MpsError("not on this machine")
        yield

    monkeypatch.setattr(mps, "program", lambda: "there")
    monkeypatch.setattr(mps, "own_service", own_service)
    report = fake.run(trainers=(2,))
    assert [one["mps"] for one in report["cases"]] == [False]
    assert report["mps"] == {"service": None, "problem": "not on this machine"}
    assert report["complete"]


def test_a_daemon_that_runs_already_is_used_and_kept_away_from_the_others(fake, monkeypatch):
    monkeypatch.setattr(mps, "answers", lambda: True)
    monkeypatch.setattr(mps, "own_service", None)
    report = fake.run(trainers=(1,))
    assert report["mps"]["service"] == "of a daemon that runs on this machine already"
    without, with_it = (job.environment for job in fake.jobs)
    assert "domcli-no-mps-" in without[mps.PIPE]
    assert mps.PIPE not in with_it
    assert [one["mps"] for one in report["cases"]] == [False, True]


def test_trainers_that_do_not_connect_are_not_taken_for_measured_with_it(fake, monkeypatch):
    monkeypatch.setattr(mps, "answers", lambda: True)
    fake.servers = []
    report = fake.run("natural", "pgd-10", trainers=(2,))
    assert [one["mps"] for one in report["cases"]] == [False, False]
    assert report["mps"] == {"service": None, "problem": "the trainers did not connect to it"}
    assert {one.mps for one in figures.recall()} == {False}


def test_memory_of_a_gpu_is_what_its_driver_tells(fake, monkeypatch):
    room = Room("cuda")
    assert (room.product, room.total, room.free()) == ("H200", 100 * GB, 99 * GB)
    before, fake.running = room.used(), 2
    assert room.each([GB, 2 * GB], before) == 3 * GB
    assert room.each([GB, 4 * GB], before) == 4 * GB
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-x")
    hidden = Room("cuda")
    assert (hidden.product, hidden.total, hidden.used(), hidden.free()) == (None, None, None, None)
    assert hidden.each([GB, 2 * GB], None) == 2 * GB + DRIVER_BYTES


def test_memory_of_a_cpu_is_that_of_the_process():
    room = Room("cpu")
    assert room.each([GB, 2 * GB], room.used()) == 2 * GB
    assert 0 < room.free() <= room.total
