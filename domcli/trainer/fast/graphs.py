"""Recording functions of tensors as CUDA graphs: hundreds of kernels are then launched at once, without Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor

from domcli.trainer.anew import BrokenRecording
from domcli.trainer.fast.recorded import afterwards, first_line, restored
from domcli.trainer.step import Outputs, Stage

WARM_UPS = 2
"""Times that a function is done before it is recorded: libraries choose their kernels and take their memory then."""

_alive: WeakSet[Any] = WeakSet()
"""The graphs that may still be replayed."""


def record(function: Stage, inputs: Sequence[Tensor], changed: Sequence[Tensor]) -> Stage:
    """Return `function` as a CUDA graph (see recorded.Recorder).

    The outputs of a replay are overwritten by the next. Random numbers go on from the device's generator as they would
    have without a graph. Raises RuntimeError where the function cannot be recorded and nothing else is amiss, such as
    torch.OutOfMemoryError; BrokenRecording where the process is unfit to go on.
    """
    held = [value.clone(memory_format=torch.preserve_format) for value in inputs]
    graph, stream = torch.cuda.CUDAGraph(), _stream()
    with restored(changed), _random_states_as_before():
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                function(*held)
        torch.cuda.current_stream().wait_stream(stream)
        with _recording(graph, stream):
            outputs = function(*held)
    _alive.add(graph)

    def replay(*values: Tensor) -> Outputs:
        for place, value in zip(held, values, strict=True):
            place.copy_(value)
        graph.replay()
        return outputs

    return replay


@contextmanager
def _recording(graph: Any, stream: Any) -> Iterator[None]:
    """Record what is done within. Raises BrokenRecording, for the first of several errors, where it has broken off.

    CUDA gives up a recording at the first operation that it forbids, a wait for the device for instance. Beginning or
    ending it then fails, and PyTorch leaves the allocator and the random generator as they are within a recording, and
    offers no way back. An error that CUDA knows nothing of, such as too little memory, ends a recording properly.
    """
    torch.cuda.synchronize()
    torch.cuda.empty_cache()  # what lies idle is of no use to the graphs, whose memory is apart
    first: BaseException | None = None
    with torch.cuda.stream(stream):
        try:
            graph.capture_begin(pool=_pool(), capture_error_mode="thread_local")
            try:
                yield
            except BaseException as error:
                first = error
                raise
            finally:
                graph.capture_end()
        except RuntimeError as error:
            if error is first:
                raise
            raise BrokenRecording(first_line(first or error)) from error


@cache
def _stream() -> Any:
    """Return the stream of warm-ups and recordings: what libraries keep for a stream is then in no graph's memory."""
    return torch.cuda.Stream()  # type: ignore[no-untyped-call]


def _pool() -> Any:
    """Return the memory that all graphs share: they are replayed one after the other, on one stream.

    A pool is good for as long as a graph of it lives. PyTorch refuses one whose graphs are all gone while something in
    it is still in use, such as gradients.
    """
    return next((graph.pool() for graph in _alive), None) or torch.cuda.graph_pool_handle()


@contextmanager
def _random_states_as_before() -> Iterator[None]:
    host, device = torch.get_rng_state(), torch.cuda.get_rng_state()

    def put_back() -> None:
        torch.cuda.synchronize()
        torch.set_rng_state(host)
        torch.cuda.set_rng_state(device)

    with afterwards(put_back):
        yield
