"""How functions are recorded as CUDA graphs, on a stand-in for torch.cuda that refuses what CUDA refuses."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import pytest
import torch
from test_engines import BATCH, calling, fresh
from torch import Tensor

from domcli.trainer.anew import BrokenRecording
from domcli.trainer.fast import graphs
from domcli.trainer.fast.recorded import RecordingEngine

FORBIDDEN = "CUDA error: operation not permitted when stream is capturing"


class Graph:
    """A graph that has been recorded, as soon as it has a pool."""

    driver: Driver

    def __init__(self) -> None:
        self.handle: Any = None

    def capture_begin(self, pool: Any, capture_error_mode: str) -> None:
        driver = self.driver
        if pool in driver.used and not any(one.handle == pool for one in driver.graphs):
            raise RuntimeError("it->second->use_count > 0 INTERNAL ASSERT FAILED")
        driver.capturing, self.wanted = True, pool
        driver.begun.append((pool, driver.stream))
        driver.used.add(pool)

    def capture_end(self) -> None:
        if self.driver.broken:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")
        self.driver.capturing, self.handle = False, self.wanted
        self.driver.graphs.add(self)

    def pool(self) -> Any:
        return self.handle

    def replay(self) -> None:
        """Nothing: the outputs of the recording stay as they are."""


class Driver:
    """What PyTorch and CUDA keep track of."""

    def __init__(self) -> None:
        self.stream = self.default = "default stream"
        self.made: list[str] = []
        self.begun: list[tuple[Any, str]] = []
        self.done_on: list[str] = []
        self.graphs: WeakSet[Graph] = WeakSet()
        self.used: set[Any] = set()
        self.capturing = self.broken = False
        self.put_back: list[str] = []

    def new_stream(self) -> str:
        self.made.append(f"stream {len(self.made)}")
        return self.made[-1]

    def new_pool(self) -> tuple[int, int]:
        return (0, len(self.begun) + 1)

    def wait(self) -> None:
        """Wait for the device, which breaks a recording off."""
        self.done_on.append(self.stream)
        if self.capturing:
            self.broken = True
            raise RuntimeError(FORBIDDEN)

    @contextmanager
    def on(self, stream: str) -> Iterator[None]:
        before, self.stream = self.stream, stream
        try:
            yield
        finally:
            self.stream = before


class Stream(str):
    def wait_stream(self, other: object) -> None:
        assert isinstance(other, str)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    found = Driver()
    found.stream = found.default = Stream("default stream")
    for name, value in {
        "CUDAGraph": type("GraphHere", (Graph,), {"driver": found}),
        "Stream": lambda: Stream(found.new_stream()),
        "current_stream": lambda: found.stream,
        "stream": found.on,
        "graph_pool_handle": found.new_pool,
        "synchronize": lambda: None,
        "empty_cache": lambda: None,
        "get_rng_state": lambda: torch.zeros(1),
        "set_rng_state": lambda state: found.put_back.append("random state"),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(graphs, "_alive", WeakSet())
    graphs._stream.cache_clear()
    yield found
    graphs._stream.cache_clear()


def doubled(value: Tensor) -> tuple[Tensor]:
    return (2 * value,)


def test_graphs_share_the_memory_of_those_that_live_and_of_no_others(driver: Driver) -> None:
    first = graphs.record(doubled, [torch.ones(1)], [])
    second = graphs.record(doubled, [torch.ones(1)], [])
    pools = [pool for pool, _ in driver.begun]
    assert pools[0] == pools[1]
    del first, second
    gc.collect()
    third = graphs.record(doubled, [torch.ones(1)], [])  # memory whose graphs are gone is refused
    assert driver.begun[-1][0] not in pools
    assert third(torch.ones(1))


def test_warm_ups_and_recordings_are_all_on_one_stream(driver: Driver) -> None:
    seen: list[str] = []

    def noted(value: Tensor) -> tuple[Tensor]:
        seen.append(driver.stream)
        return (value,)

    for _ in range(2):
        graphs.record(noted, [torch.ones(1)], [])
    assert driver.made == ["stream 0"]
    assert seen == ["stream 0"] * 2 * (graphs.WARM_UPS + 1)
    assert driver.stream == driver.default


def test_a_recording_that_breaks_off_says_why_and_touches_nothing_more(driver: Driver) -> None:
    def waiting(value: Tensor) -> tuple[Tensor]:
        driver.wait()
        value += 1
        return (value,)

    state = torch.zeros(1)
    with pytest.raises(BrokenRecording, match=FORBIDDEN):
        graphs.record(waiting, [torch.ones(1)], [state])
    assert driver.put_back == []  # the device would refuse it, and hide what went wrong


def test_memory_that_is_refused_leaves_a_process_that_cannot_go_on(driver: Driver) -> None:
    driver.used.add((0, 1))  # the next pool, as if its graphs were gone
    with pytest.raises(BrokenRecording, match="INTERNAL ASSERT"):
        graphs.record(doubled, [torch.ones(1)], [])


def test_too_little_memory_ends_a_recording_properly(driver: Driver) -> None:
    calls = []

    def greedy(value: Tensor) -> tuple[Tensor]:
        calls.append(driver.capturing)
        value += 1
        if driver.capturing:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return (value,)

    changed = torch.zeros(1)
    with pytest.raises(torch.OutOfMemoryError):
        graphs.record(lambda value: greedy(changed), [torch.ones(1)], [changed])
    assert calls == [False] * graphs.WARM_UPS + [True]
    assert driver.put_back == ["random state"]
    assert changed == 0
    assert driver.stream == driver.default
    assert graphs.record(doubled, [torch.ones(1)], [])


def test_an_engine_does_not_go_on_after_a_broken_recording() -> None:
    def breaking(*_: object) -> Any:
        raise BrokenRecording(FORBIDDEN)

    training = fresh("pgd-dom-re")
    with pytest.raises(BrokenRecording):
        RecordingEngine(training, breaking).step(torch.arange(BATCH), 0.05, dom_active=False)


def test_the_graphs_of_an_engine_that_is_gone_end_before_another_records() -> None:
    ended: list[str] = []

    class Recorded:
        def __del__(self) -> None:
            ended.append("graph")

    old = fresh("pgd-dom-re")
    old.engine = RecordingEngine(old, calling)
    old.engine._recorded["kind"] = Recorded()  # training and engine refer to each other
    del old
    RecordingEngine(fresh("pgd-dom-re"), calling)
    assert ended == ["graph"]
