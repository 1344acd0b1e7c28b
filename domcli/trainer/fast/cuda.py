"""Whether a GPU computes the network as it is written, or compiled: measured for long runs, and remembered.

Compiling takes a minute or more at the first time on a machine, so a run that would be over soon is not worth it. Both
ways only round differently, and a resumed run keeps the one it had.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

import torch
from torch import Tensor

from domcli.computation import COMPILED, WRITTEN, Computation
from domcli.timing import work
from domcli.trainer import device as devices
from domcli.trainer.attacks import input_gradient
from domcli.trainer.evaluate import BATCH, Attacks
from domcli.trainer.fast.compiled import CompiledNetwork
from domcli.trainer.fast.recorded import Recorder, RecordingEngine, restored, unrecorded
from domcli.trainer.fast.remembered import conditions, one_at_a_time, recall, remember
from domcli.trainer.passes import Network, judge, loss_of
from domcli.trainer.state import Training
from domcli.trainer.step import Outputs, Stage
from domcli.trainer.stop import StopRequested

log = logging.getLogger(__name__)
FILE = "cuda.json"
BACKEND = "inductor"
LONG = 600.0
"""A run that takes fewer seconds than this as it is written is not compiled for."""
CLEARLY = 0.95
"""The compiled network must take less than this share of the written one's time."""
TURNS, REPLAYS = 3, 10
"""Measurements of each way, the fastest of which counts, and how often each repeats a pass."""


@dataclass(frozen=True)
class Pace:
    """Seconds of a forward and backward pass over a training batch: for the images, or for the parameters."""

    attack: float
    update: float

    def of(self, needed: Pace) -> float:
        """Return the seconds of so many passes of each kind."""
        return self.attack * needed.attack + self.update * needed.update


def settle(
    training: Training, engine: RecordingEngine, known: Computation, images: tuple[int, int], recorder: Recorder
) -> None:
    """Have the run's engine compute the network in the faster way, a run that goes on as it has so far; and tell why.

    `images` are those trained and tested on in an epoch.
    """
    network, why = None, None
    with restored(training.classifier.statistics()):
        if known.network is None:
            try:
                network, why = _faster(training, passes_of(training, images), recorder)
            except RuntimeError as error:  # passes that cannot be recorded as graphs: out of memory is one such error
                why = _sentence(error)
        elif known.network == COMPILED:
            network, why = _tried(training)
    training.optimizer.zero_grad()
    told = {"network": WRITTEN if network is None else COMPILED}
    engine.compute(network, told if why is None else {**told, "not_compiled": why})
    if why is not None:
        log.info("the network is computed as written: %s", why)


def passes_of(training: Training, images: tuple[int, int]) -> Pace:
    """Return how many passes of each kind a whole run takes, in training batches."""
    settings = training.settings
    size = settings.train.batch_size
    steps = settings.train.epochs * images[0] / size
    tested = settings.train.epochs / settings.evaluation.every * images[1] / size
    in_tests = work.evaluation_passes(settings).of_attacks
    in_steps = work.step_passes(settings, high_confidence=0).of_attacks
    return Pace(attack=steps * in_steps + tested * in_tests, update=steps)


def _faster(training: Training, needed: Pace, recorder: Recorder) -> tuple[CompiledNetwork | None, str | None]:
    """Return the compiled network if it is clearly faster, else why not."""
    written, compiled = _paces(training, None, recorder)
    if written.of(needed) < LONG:
        return None, f"the run takes about {written.of(needed):.0f} s, too short to compile for it"
    if compiled is not None and not _pays(written, compiled, needed):
        return None, _no_gain(written, compiled, needed)
    network, why = _tried(training)
    if network is None:
        return None, why
    written, compiled = _paces(training, network, recorder)
    assert compiled is not None
    return (network, None) if _pays(written, compiled, needed) else (None, _no_gain(written, compiled, needed))


def _paces(training: Training, network: CompiledNetwork | None, recorder: Recorder) -> tuple[Pace, Pace | None]:
    """Return the paces of the network as written and, if it is given, compiled: measured, unless they are known.

    Runs that begin together do this one after the other, so they do not measure each other, and all choose the same.
    """
    key = conditions(training, training.precision)
    with one_at_a_time(training.device):
        written, compiled = _remembered(key)
        if written is None or (network is not None and compiled is None):
            networks: list[Network] = [training.classifier, *([] if network is None else [network])]
            written, *others = _measured(training, networks, recorder)
            compiled = others[0] if others else None
            _remember(key, written, compiled)
    return written, compiled


def _pays(written: Pace, compiled: Pace, needed: Pace) -> bool:
    return compiled.of(needed) < CLEARLY * written.of(needed)


def _no_gain(written: Pace, compiled: Pace, needed: Pace) -> str:
    return f"compiled it takes {compiled.of(needed) / written.of(needed):.2f} times as long"


def _tried(training: Training) -> tuple[CompiledNetwork | None, str | None]:
    """Compile every trace that the run needs; return the network, or why that is impossible."""
    log.info("compiling the network, a minute or more at the first time on this machine")
    began = time.monotonic()
    test = len(training.dataset.test.labels)
    sizes = (training.settings.train.batch_size, min(BATCH[training.device.type], test))
    try:
        network = CompiledNetwork(training.classifier, sizes, BACKEND)
        engine = RecordingEngine(training, unrecorded)
        engine.compute(network, {})
        engine.rehearse(Attacks.on_test_set(training.settings), sizes[1])
    except StopRequested:
        raise
    except Exception as error:  # whatever the compiler stumbles over, the run goes on without it
        log.info("the network cannot be compiled", exc_info=True)
        return None, _sentence(error)
    log.info("compiled in %.0f s", time.monotonic() - began)
    return network, None


def _passes(training: Training, network: Network) -> tuple[Stage, Stage]:
    """Return a pass for the gradients of images, and one for those of the parameters."""

    def attack(images: Tensor, labels: Tensor) -> Outputs:
        with devices.autocast(training.device, training.precision):
            return (input_gradient(loss_of(network), images, labels),)

    def update(images: Tensor, labels: Tensor) -> Outputs:
        training.optimizer.zero_grad()
        with devices.autocast(training.device, training.precision):
            judge(network, images, labels, with_graph=True).losses.mean().backward()  # type: ignore[no-untyped-call]
        return ()

    return attack, update


def _batch(training: Training, size: int) -> tuple[Tensor, Tensor]:
    """Return grey images with labels, as many as wanted."""
    shape = (size, *training.dataset.train.images.shape[1:])
    images = torch.full(shape, 0.5, device=training.device).contiguous(memory_format=torch.channels_last)
    return images, torch.zeros(size, dtype=torch.int64, device=training.device)


def _measured(training: Training, networks: Sequence[Network], recorder: Recorder) -> list[Pace]:
    """Return the pace of each network, measured in turns."""
    batch = _batch(training, training.settings.train.batch_size)
    statistics = training.classifier.statistics()
    ways = [[recorder(one, batch, statistics) for one in _passes(training, network)] for network in networks]
    turns = [[[_seconds(one, batch) for one in way] for way in ways] for _ in range(TURNS)]
    return [Pace(*(min(turn[way][kind] for turn in turns) for kind in range(2))) for way in range(len(ways))]


def _seconds(function: Stage, batch: Sequence[Tensor]) -> float:
    devices.wait_for(batch[0].device)
    began = time.perf_counter()
    for _ in range(REPLAYS):
        function(*batch)
    devices.wait_for(batch[0].device)
    return (time.perf_counter() - began) / REPLAYS


def _remembered(key: str) -> tuple[Pace | None, Pace | None]:
    found = recall(FILE, key)
    paces = [found.get(way) if isinstance(found, dict) else None for way in (WRITTEN, COMPILED)]
    written, compiled = (Pace(*pace) if _is_pace(pace) else None for pace in paces)
    return written, compiled


def _is_pace(kept: object) -> TypeGuard[list[float]]:
    """Tell whether what was kept is two times, whatever has become of the file."""
    if not isinstance(kept, list) or len(kept) != 2:
        return False
    return all(isinstance(one, float) and 0 < one < math.inf for one in kept)


def _remember(key: str, written: Pace, compiled: Pace | None) -> None:
    paces = {WRITTEN: written, COMPILED: compiled}
    remember(FILE, key, {way: [pace.attack, pace.update] for way, pace in paces.items() if pace is not None})


def _sentence(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
