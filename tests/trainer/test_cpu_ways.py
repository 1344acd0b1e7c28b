"""Choosing how a CPU computes: measured once, remembered, kept by a resumed run, and never in the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
import torch

from domcli.computation import OWN, PYTORCH, Computation
from domcli.events import BusyCores
from domcli.plain import VARIABLE as PLAIN
from domcli.trainer import device as devices
from domcli.trainer.fast import cpu, engine_for
from domcli.trainer.fast.cpu import Way
from domcli.trainer.native import operations
from domcli.trainer.state import Training

ALL = 3


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(operations, "why_not", lambda: None)
    monkeypatch.setattr(cpu.cores, "others", lambda before, after: BusyCores(busy=0.0, cores=ALL))
    monkeypatch.delenv(PLAIN, raising=False)
    torch.set_num_threads(ALL)
    yield
    operations.use(True)
    torch.set_num_threads(1)


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Training:
    monkeypatch.setattr(devices, "SINGLE_THREAD_WORK", 0.0)  # this network is not too small for a choice
    return tiny.training("natural-dom-re", "train.precision=bfloat16")


def timed(monkeypatch: pytest.MonkeyPatch, fastest: Way) -> list[Way]:
    """Have one way look fastest, and return where it is written which were measured."""
    asked: list[Way] = []

    def choose(training: Training, ways: list[Way]) -> Way:
        asked.extend(ways)
        return fastest

    monkeypatch.setattr(cpu, "_fastest", choose)
    return asked


def taken() -> Way:
    return Way(torch.get_num_threads(), operations._wanted)


def test_the_fastest_way_is_taken_and_remembered(training, monkeypatch) -> None:
    asked = timed(monkeypatch, Way(1, True))
    engine_for(training)
    assert asked == [Way(ALL, True), Way(1, True), Way(ALL, False)]
    assert taken() == Way(1, True)
    torch.set_num_threads(ALL)
    engine_for(training)
    assert len(asked) == 3  # not measured again
    assert taken() == Way(1, True)


def test_what_is_measured_beside_programs_that_want_the_cores_counts_for_one_run(training, monkeypatch, caplog) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(cpu.cores, "others", lambda before, after: BusyCores(busy=2.0, cores=ALL))
    asked = timed(monkeypatch, Way(1, True))
    engine_for(training)
    assert taken() == Way(1, True)
    assert "other programs keep 2 of 3 cores busy: the next run measures again" in caplog.messages
    torch.set_num_threads(ALL)
    monkeypatch.setattr(cpu.cores, "others", lambda before, after: None)
    for _ in range(2):
        engine_for(training)
        torch.set_num_threads(ALL)
    assert len(asked) == 6  # once more, and then never again


def test_another_network_or_another_number_of_threads_is_measured_for_itself(training, monkeypatch) -> None:
    asked = timed(monkeypatch, Way(ALL, False))
    engine_for(training)
    engine_for(tiny.training("natural-dom-re", "train.precision=bfloat16", "model.width=8"))
    assert len(asked) == 6
    torch.set_num_threads(1)
    engine_for(training)
    assert asked[6:] == [Way(1, True), Way(1, False)]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"x": 3}'])
def test_a_damaged_cache_is_measured_again_and_replaced(training, monkeypatch, content, tmp_path) -> None:
    asked = timed(monkeypatch, Way(ALL, True))
    cache = tmp_path / "domcli" / "cpu.json"
    cache.parent.mkdir()
    cache.write_text(content)
    engine_for(training)
    assert len(asked) == 3
    assert {"threads": ALL, "kernels": True} in json.loads(cache.read_text()).values()


def test_a_cache_that_cannot_be_written_stops_nothing(training, monkeypatch) -> None:
    timed(monkeypatch, Way(1, False))
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    engine_for(training)
    assert taken() == Way(1, False)


@pytest.mark.parametrize(("recorded", "kernels"), [(OWN, True), (PYTORCH, False)])
def test_a_resumed_run_keeps_its_kernels_and_threads(training, monkeypatch, recorded, kernels) -> None:
    asked = timed(monkeypatch, Way(1, not kernels))
    engine = engine_for(training, Computation(kernels=recorded))
    assert not asked
    assert taken() == Way(ALL, kernels)
    assert engine.describe()["kernels"].startswith(recorded)


def test_nothing_is_measured_where_there_is_no_choice(training, monkeypatch) -> None:
    asked = timed(monkeypatch, Way(1, False))
    engine_for(tiny.training("natural-dom-re", "train.precision=float32"))
    monkeypatch.setattr(operations, "why_not", lambda: "no compiler")
    engine = engine_for(training)
    assert not asked
    assert engine.describe()["kernels"] == "PyTorch: no compiler"


def test_the_plain_way_uses_no_kernels(training, monkeypatch) -> None:
    asked = timed(monkeypatch, Way(1, True))
    monkeypatch.setenv(PLAIN, "1")
    engine_for(training)
    assert not asked
    assert taken() == Way(ALL, False)


def test_a_tiny_network_runs_on_one_thread_without_being_measured(monkeypatch) -> None:
    asked = timed(monkeypatch, Way(ALL, True))
    engine_for(tiny.training("natural-dom-re", "train.precision=bfloat16"))
    assert not asked
    assert torch.get_num_threads() == 1


def test_measuring_leaves_the_network_and_the_random_numbers_alone(training, monkeypatch) -> None:
    monkeypatch.setattr(operations, "in_use", lambda x: False)  # there may be none on this machine
    before = {name: value.clone() for name, value in training.classifier.state_dict().items()}
    state = torch.get_rng_state()
    engine_for(training)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in training.classifier.state_dict().items())
    assert all(parameter.grad is None for parameter in training.classifier.parameters())
    assert torch.get_num_threads() in (1, ALL)


@pytest.mark.parametrize(
    ("seconds", "expected", "passes"),
    [
        ({Way(ALL, True): 1.0, Way(1, True): 3.0, Way(ALL, False): 9.0}, Way(ALL, True), 3),
        ({Way(ALL, True): 1.0, Way(1, True): 0.8, Way(ALL, False): 9.0}, Way(1, True), 3 + 2 * cpu.PASSES),
        ({Way(ALL, True): 1.0, Way(1, True): 0.95, Way(ALL, False): 1.1}, Way(ALL, True), 3 + 3 * cpu.PASSES),
        ({Way(ALL, True): 9.0, Way(1, True): 9.0, Way(ALL, False): 1.0}, Way(ALL, False), 3 + 2 * cpu.PASSES),
    ],
)
def test_hopeless_ways_are_looked_at_once(training, monkeypatch, seconds, expected, passes) -> None:
    clock, marks = [0.0], []

    def now() -> float:
        marks.append(taken())
        if len(marks) % 2 == 0:
            clock[0] += seconds[taken()]
        return clock[0]

    monkeypatch.setattr(operations, "in_use", lambda x: False)
    monkeypatch.setattr(cpu.time, "perf_counter", now)
    assert cpu._fastest(training, list(seconds)) == expected
    assert len(marks) == 2 * passes
