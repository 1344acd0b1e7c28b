"""Copies of tensors on the host: of one moment, in memory that is kept, and on CUDA without waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from domcli.trainer import snapshot
from domcli.trainer.snapshot import MOST, Snapshots

CPU = torch.device("cpu")


def some_tensors(device: torch.device = CPU) -> dict[str, Tensor]:
    images = torch.arange(2.0 * 3 * 4 * 4, device=device).reshape(2, 3, 4, 4)
    return {
        "channels_last": images.contiguous(memory_format=torch.channels_last),
        "scalar": torch.tensor(7, device=device),
        "flags": torch.tensor([True, False, True], device=device),
        "sums": torch.arange(8, dtype=torch.float64, device=device),
    }


def values(tensors: Any) -> dict[str, Any]:
    return {name: value.tolist() for name, value in tensors.items()}


def test_a_snapshot_is_of_its_moment_whatever_is_done_in_place_later() -> None:
    tensors = some_tensors()
    expected = values(tensors)
    taken = Snapshots(CPU).take(tensors, {"epoch": 3})
    for value in tensors.values():
        value.zero_()
    assert values(taken.tensors()) == expected
    assert all(value.is_contiguous() for value in taken.tensors().values())
    assert {name: value.dtype for name, value in taken.tensors().items()} == {
        name: value.dtype for name, value in tensors.items()
    }
    assert taken.about == {"epoch": 3}


def test_there_are_no_more_than_there_is_memory_for_and_the_memory_is_used_again() -> None:
    snapshots, tensors = Snapshots(CPU), some_tensors()
    taken = []
    while snapshots.available:
        taken.append(snapshots.take(tensors, {}))
    assert len(taken) == MOST
    places = {one.tensors()["sums"].data_ptr() for one in taken}
    assert len(places) == MOST
    taken[0].release()
    assert snapshots.available
    again = snapshots.take({"sums": tensors["sums"] + 1}, {})
    assert list(again.tensors()) == ["sums"]
    assert again.tensors()["sums"].data_ptr() == taken[0].copies["sums"].data_ptr()


class FakeGpu:
    """Notes what is asked of a GPU, and by which thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.allocated = 0
        gpu = self

        class Event:
            def __init__(self, blocking: bool = False) -> None:
                gpu.note("event", blocking)

            def record(self) -> None:
                gpu.note("record")

            def synchronize(self) -> None:
                gpu.note("wait")

        class HostMemory:
            def copy_(self, value: Tensor, non_blocking: bool = False) -> None:
                gpu.note("copy", tuple(value.shape), non_blocking)

        def host_memory(value: Tensor, *, pinned: bool) -> HostMemory:
            assert pinned
            gpu.allocated += 1
            return HostMemory()

        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "set_device", lambda device: gpu.note("device", str(device)))
        monkeypatch.setattr(snapshot, "_host_memory", host_memory)

    def note(self, *call: Any) -> None:
        self.calls.append((*call, threading.current_thread() is threading.main_thread()))


def in_a_thread(function: Callable[[], object]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def test_on_cuda_copies_are_enqueued_and_only_who_reads_them_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = FakeGpu(monkeypatch)
    snapshots = Snapshots(torch.device("cuda", 1))
    tensors = {"a": torch.zeros(2), "b": torch.zeros(3)}
    taken = snapshots.take(tensors, {})
    copies = [("copy", (2,), True, True), ("copy", (3,), True, True)]
    assert gpu.calls == [*copies, ("event", True, True), ("record", True)]  # nothing waits, no step comes between
    gpu.calls.clear()
    in_a_thread(taken.tensors)
    assert gpu.calls == [("device", "cuda:1", False), ("wait", False)]
    taken.release()
    snapshots.take(tensors, {})
    assert gpu.allocated == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_a_snapshot_is_of_its_moment_while_the_device_goes_on_and_a_graph_is_captured() -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    tensors, snapshots = some_tensors(device), Snapshots(device)
    expected = values(tensors)
    snapshots.take(tensors, {}).release()  # pins the memory
    torch.cuda.synchronize()
    torch.cuda._sleep(1_000_000_000)  # about half a second, before which nothing of the following can be done
    taken = snapshots.take(tensors, {})
    for value in tensors.values():
        value.zero_()
    assert taken.arrived is not None
    assert not taken.arrived.query(), "taking a snapshot has waited for the device"
    assert all(value.is_pinned() and value.is_contiguous() for value in taken.copies.values())
    found: list[dict[str, Any]] = []
    reader = threading.Thread(target=lambda: found.append(values(taken.tensors())))
    x, graph, aside = torch.zeros(4, device=device), torch.cuda.CUDAGraph(), torch.cuda.Stream()
    # Not torch.cuda.graph, which would wait for the device first: the thread is to wait during the capture.
    with torch.cuda.stream(aside):
        graph.capture_begin(capture_error_mode="thread_local")
        reader.start()
        x.add_(1)
        reader.join()
        graph.capture_end()
    assert found == [expected]
    graph.replay()
    torch.cuda.synchronize()
    assert x.tolist() == [1.0] * 4
