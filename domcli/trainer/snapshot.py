"""Copies of tensors on the host, taken at one moment without making the training wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

MOST = 2
"""Snapshots that there are at a time: one is written, another one waits for it."""


@dataclass(frozen=True)
class Snapshot:
    """Tensors as they were at one moment, and what else was true then."""

    copies: Mapping[str, Tensor]
    about: Mapping[str, Any]
    device: torch.device
    arrived: torch.cuda.Event | None
    """Is reached when the copies are whole; None: they are."""
    release: Callable[[], None]
    """Give up the copies; their memory is used again."""

    def tensors(self) -> Mapping[str, Tensor]:
        """Return the copies, contiguous and on the host, once they have arrived.

        Any thread may call it. It starts no work on the device. The main thread may be capturing a CUDA graph
        meanwhile: waiting for an event is no operation of a stream, and a capture in the mode thread_local forbids
        nothing to other threads.
        """
        if self.arrived is not None:
            # A thread begins on the first GPU, and would take memory there if that is not the one in use.
            torch.cuda.set_device(self.device)
            self.arrived.synchronize()
        return self.copies


class Snapshots:
    """Takes snapshots, at most so many at a time as there is memory for; the memory is kept."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._free: list[dict[str, Tensor]] = [{} for _ in range(MOST)]

    @property
    def available(self) -> bool:
        """True if one can be taken now."""
        return bool(self._free)

    def take(self, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> Snapshot:
        """Return the tensors as they are at this point of the current stream; one must be available.

        On CUDA the copies are only enqueued: what changes the tensors later on this stream comes after them.
        """
        memory = self._free.pop()
        on_gpu = self._device.type == "cuda"
        for name, value in tensors.items():
            if name not in memory:
                memory[name] = _host_memory(value, pinned=on_gpu)
            memory[name].copy_(value, non_blocking=on_gpu)
        arrived = None
        if on_gpu:
            # `blocking`: whoever waits for it sleeps, and leaves the core to the training.
            arrived = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            arrived.record()
        copies = {name: memory[name] for name in tensors}
        return Snapshot(copies, about, self._device, arrived, partial(self._free.append, memory))


def _host_memory(value: Tensor, *, pinned: bool) -> Tensor:
    """Return memory for a contiguous copy. The device writes to pinned memory by itself; pinning it takes long."""
    return torch.empty(value.shape, dtype=value.dtype, pin_memory=pinned)
