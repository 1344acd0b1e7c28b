"""Recording functions of tensors as CUDA graphs: hundreds of kernels are then launched at once, without Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

from domcli.trainer.fast.recorded import Function, Outputs, restored

WARM_UPS = 2
"""Times that a function is done before it is recorded: libraries choose their kernels and take their memory then."""


def record(function: Function, inputs: Sequence[Tensor], changed: Sequence[Tensor]) -> Function:
    """Return `function` as a CUDA graph (see recorded.Recorder).

    The outputs of a replay are overwritten by the next. Random numbers go on from the device's generator as they would
    have without a graph. Raises RuntimeError where the function cannot be captured, torch.OutOfMemoryError among them.
    """
    held = [value.clone(memory_format=torch.preserve_format) for value in inputs]
    graph = torch.cuda.CUDAGraph()
    with restored(changed), _random_states_as_before():
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UPS):
                function(*held)
        torch.cuda.current_stream().wait_stream(aside)
        with torch.cuda.graph(graph, pool=_pool(), capture_error_mode="thread_local"):
            outputs = function(*held)

    def replay(*values: Tensor) -> Outputs:
        for place, value in zip(held, values, strict=True):
            place.copy_(value)
        graph.replay()
        return outputs

    return replay


@cache
def _pool() -> Any:
    """Return the memory that all graphs share: they are replayed one after the other, on one stream."""
    return torch.cuda.graph_pool_handle()


@contextmanager
def _random_states_as_before() -> Iterator[None]:
    host, device = torch.get_rng_state(), torch.cuda.get_rng_state()
    try:
        yield
    finally:
        torch.cuda.synchronize()
        torch.set_rng_state(host)
        torch.cuda.set_rng_state(device)
