"""How a CPU computes a network fastest: our kernels or PyTorch's, on how many threads. Measured once and kept, unless
other programs wanted the cores meanwhile: what is fastest beside them need not be so without.

The arithmetic is not up for choice: it decides the numbers, and the settings decide it. Threads and kernels only round
differently, and a resumed run keeps those it had.
"""

from __future__ import annotations

import copy
import logging
import time
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F

from domcli import cores
from domcli.computation import OWN, Computation
from domcli.trainer import device as devices
from domcli.trainer.fast.remembered import conditions, one_at_a_time, recall, remember
from domcli.trainer.native import operations
from domcli.trainer.state import Training

log = logging.getLogger(__name__)
FILE = "cpu.json"
PASSES = 3
"""Timed forward and backward passes of each way; the fastest counts."""
HOPELESS = 2.0
"""A way that takes so many times as long as the fastest when it warms up is not looked at again."""
CLEARLY = 0.9
"""Another way must take less than this share of the usual one's time to be taken instead."""


@dataclass(frozen=True)
class Way:
    """A way to compute on a CPU."""

    threads: int
    kernels: bool

    def __str__(self) -> str:
        return f"{self.threads} thread(s) and kernels of {'domcli' if self.kernels else 'PyTorch'}"

    def take(self) -> None:
        """Have this process compute so from now on."""
        torch.set_num_threads(self.threads)
        operations.use(self.kernels)


def settle(training: Training, known: Computation) -> None:
    """Have this process compute the fastest way, a run that goes on as it has so far."""
    threads = torch.get_num_threads()
    if known.kernels is not None:
        Way(threads, known.kernels == OWN).take()
        return
    if training.precision != torch.bfloat16 or operations.why_not() is not None:
        return
    usual = Way(threads, True)
    ways = [usual, *([Way(1, True)] if threads > 1 else []), Way(threads, False)]
    key = conditions(training, threads)
    with one_at_a_time(training.device):
        way = _remembered(key)
        if way not in ways:
            before = cores.look()
            way = _fastest(training, ways)
            busy = cores.in_the_way(cores.others(before, cores.look()), threads)
            if busy is None:
                remember(FILE, key, asdict(way))
            else:
                log.info("%s: the next run measures again", busy)
    way.take()


def _fastest(training: Training, ways: list[Way]) -> Way:
    """Measure every way on a batch like the run's; the first is taken unless another is clearly faster."""
    classifier = copy.deepcopy(training.classifier)
    shape = (training.settings.train.batch_size, *training.dataset.train.images.shape[1:])
    images = torch.full(shape, 0.5).contiguous(memory_format=torch.channels_last).requires_grad_()
    labels = torch.zeros(shape[0], dtype=torch.int64)

    def seconds(way: Way) -> float:
        way.take()
        began = time.perf_counter()
        with devices.autocast(training.device, training.precision):
            loss = F.cross_entropy(classifier(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        return time.perf_counter() - began

    # In turns, so that what else the machine does disturbs all alike; the first turn warms up.
    first = {way: seconds(way) for way in ways}
    near = [way for way in ways if way == ways[0] or first[way] < HOPELESS * min(first.values())]
    taken = first if len(near) == 1 else _fastest_of([{way: seconds(way) for way in near} for _ in range(PASSES)])
    log.info("a pass: %s", "; ".join(f"{1000 * taken[way]:.0f} ms with {way}" for way in near))
    best = min(near, key=taken.__getitem__)
    return best if taken[best] < CLEARLY * taken[ways[0]] else ways[0]


def _fastest_of(turns: list[dict[Way, float]]) -> dict[Way, float]:
    return {way: min(turn[way] for turn in turns) for way in turns[0]}


def _remembered(key: str) -> Way | None:
    found = recall(FILE, key)
    return Way(**found) if isinstance(found, dict) and set(found) == {"threads", "kernels"} else None
