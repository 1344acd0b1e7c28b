"""When the network is compiled, as decided for a GPU; here on a CPU, with a recorder that calls and counted seconds."""

from __future__ import annotations

import fcntl
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch
from test_engines import BATCH, calling, fresh
from torch import Tensor

from domcli import cachedir
from domcli.computation import Computation
from domcli.trainer.fast import UNDECIDED, cuda
from domcli.trainer.fast.compiled import CompiledNetwork
from domcli.trainer.fast.recorded import RecordingEngine
from domcli.trainer.state import Training
from domcli.trainer.step import Stage

MANY = (50_000, 10_000)


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cuda, "BACKEND", "eager")
    monkeypatch.setattr(cuda, "REPLAYS", 1)
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


class Clock:
    """Stands in for the measurement: the first way of each turn takes `written`, the other `compiled` seconds."""

    def __init__(self, written: float, compiled: float) -> None:
        self._paces = (written, compiled)
        self.measured: list[int] = []

    def __call__(self, training: Training, networks: Sequence[object], recorder: object) -> list[cuda.Pace]:
        self.measured.append(len(networks))
        return [cuda.Pace(pace, 2 * pace) for pace in self._paces[: len(networks)]]


def settled(
    monkeypatch: pytest.MonkeyPatch,
    clock: Clock | None = None,
    known: Computation = UNDECIDED,
    images: tuple[int, int] = MANY,
    trace: Callable[..., None] = lambda *_: None,
) -> RecordingEngine:
    training = fresh("pgd-dom-re")
    engine = RecordingEngine(training, calling)
    if clock is not None:
        monkeypatch.setattr(cuda, "_measured", clock)
        monkeypatch.setattr(RecordingEngine, "rehearse", trace)
    cuda.settle(training, engine, known, images, calling)
    return engine


def test_a_long_run_takes_the_compiled_network_if_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(0.01, 0.006)
    engine = settled(monkeypatch, clock)
    assert isinstance(engine.network, CompiledNetwork)
    assert engine.describe()["network"] == "compiled"
    assert "not_compiled" not in engine.describe()
    assert clock.measured == [1, 2]


def test_what_was_measured_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    settled(monkeypatch, Clock(0.01, 0.006))
    clock = Clock(0.01, 0.02)
    assert settled(monkeypatch, clock).describe()["network"] == "compiled"
    assert clock.measured == []


def test_no_gain_means_as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (settled(monkeypatch, clock) for clock in (Clock(0.01, 0.0099), Clock(0.01, 0.001)))
    for engine in (first, second):
        assert engine.network is engine.training.classifier
        assert engine.describe()["not_compiled"] == "compiled it takes 0.99 times as long"


def test_a_short_run_is_not_compiled_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(0.001, 0.0001)
    engine = settled(monkeypatch, clock, images=(100 * BATCH, 0))
    assert engine.network is engine.training.classifier
    epochs, passes = engine.training.settings.train.epochs, 100 * (engine.training.settings.attack.steps + 2)
    seconds = f"{epochs * passes * 0.001:.0f}"
    assert engine.describe()["not_compiled"] == f"the run takes about {seconds} s, too short to compile for it"
    assert clock.measured == [1]


def test_a_compiler_that_fails_is_no_failure_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise OSError("no C compiler found\nsee the manual")

    engine = settled(monkeypatch, Clock(0.01, 0.006), trace=failing)
    assert engine.network is engine.training.classifier
    assert engine.describe()["not_compiled"] == "OSError: no C compiler found"


@pytest.mark.parametrize("recorded", [0, 4])
def test_a_network_that_cannot_be_recorded_is_not_taken(monkeypatch: pytest.MonkeyPatch, recorded: int) -> None:
    calls = []

    def refusing(function: Stage, inputs: Sequence[Tensor], changed: Sequence[Tensor]) -> Stage:
        calls.append(function)
        if len(calls) > recorded:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return calling(function, inputs, changed)

    monkeypatch.setattr(cuda, "LONG", 0.0)
    monkeypatch.setattr(RecordingEngine, "rehearse", lambda *_: None)
    training = fresh("pgd-dom-re")
    engine = RecordingEngine(training, refusing)
    cuda.settle(training, engine, UNDECIDED, MANY, refusing)
    assert engine.network is engine.training.classifier
    assert engine.describe()["not_compiled"] == "OutOfMemoryError: CUDA out of memory"


def test_runs_that_begin_together_measure_once_and_choose_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Clock):
        def __call__(self, training: Training, networks: Sequence[object], recorder: object) -> list[cuda.Pace]:
            begun.set()
            assert go_on.wait(60)
            return super().__call__(training, networks, recorder)

    clock = Slow(0.01, 0.0099)
    engines = [RecordingEngine(fresh("pgd-dom-re"), calling) for _ in range(2)]
    monkeypatch.setattr(cuda, "_measured", clock)
    monkeypatch.setattr(RecordingEngine, "rehearse", lambda *_: None)
    runs = [threading.Thread(target=cuda.settle, args=(one.training, one, UNDECIDED, MANY, calling)) for one in engines]
    runs[0].start()
    assert begun.wait(60)
    with pytest.raises(BlockingIOError), (cachedir.cache_directory() / "measuring-cpu.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    runs[1].start()
    go_on.set()
    for run in runs:
        run.join(60)
    assert clock.measured == [1, 2]
    assert [one.describe()["network"] for one in engines] == ["as written"] * 2


def test_measuring_goes_on_where_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "domcli").write_text("a file, not a folder")
    assert settled(monkeypatch, Clock(0.01, 0.0099)).describe()["network"] == "as written"


@pytest.mark.parametrize("before", ["compiled", "as written"])
def test_a_run_that_goes_on_keeps_its_way(monkeypatch: pytest.MonkeyPatch, before: str) -> None:
    clock = Clock(0.01, 0.006 if before == "as written" else 0.02)
    engine = settled(monkeypatch, clock, Computation(network=before))
    assert engine.describe()["network"] == before
    assert clock.measured == []


def test_choosing_leaves_the_run_as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cuda, "LONG", 0.0)
    expected, state = fresh("pgd-dom-re").classifier.state_dict(), torch.get_rng_state()
    training = fresh("pgd-dom-re")
    torch.set_rng_state(state)
    cuda.settle(training, RecordingEngine(training, calling), UNDECIDED, MANY, calling)
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in expected.items():
        assert torch.equal(training.classifier.state_dict()[name], value), name
    assert all(parameter.grad is None for parameter in training.classifier.parameters())
    assert training.classifier.training
    (kept,) = json.loads((tmp_path / "domcli" / "cuda.json").read_text(encoding="utf-8")).values()
    assert all(seconds > 0 for way in ("as written", "compiled") for seconds in kept[way])


def test_the_passes_of_a_run_are_those_of_its_steps_and_tests() -> None:
    training = fresh("pgd-dom-re", "train.epochs=4", "evaluation.every=2", "evaluation.steps=20", "attack.steps=10")
    work = cuda.passes_of(training, (10 * BATCH, 6 * BATCH))
    assert work == cuda.Pace(attack=4 * 10 * 10 + 2 * 6 * 20, update=40)
    natural = cuda.passes_of(fresh("natural-dom-re", "train.epochs=4"), (10 * BATCH, 6 * BATCH))
    assert natural == cuda.Pace(attack=0, update=40)
