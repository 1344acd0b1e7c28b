"""The fast machinery, behind one door: `engine_for` gives the fastest engine that works on the run's device.

Without this package a run is trained by the plain engine on the plain network, and to the same numbers up to rounding.
"""

from __future__ import annotations

import contextlib

import torch

from domcli import plain
from domcli.catalogue import NETWORKS
from domcli.catalogue.networks import PREACTRESNET18, PUBLISHED_WIDTH
from domcli.computation import COMPILED, OWN, PYTORCH, WRITTEN, Computation, Kernels, Network
from domcli.trainer import device as devices
from domcli.trainer.engine import Engine
from domcli.trainer.fast.convert import convert
from domcli.trainer.state import Training

UNDECIDED = Computation()


def engine_for(
    training: Training,
    known: Computation = UNDECIDED,
    images: tuple[int, int] | None = None,
    *,
    without_graphs: str | None = None,
) -> Engine:
    """Choose how this process computes, where there is a choice, and return the engine that does a run's steps so.

    `known` is how the run has computed so far. `images` are those trained and tested on in an epoch, if it is not this
    data set for which to choose. `without_graphs` says why nothing may be recorded, if that is so. What is computed is
    the same whichever engine it is, up to rounding.
    """
    work = _work(training)
    devices.limit_threads(work)
    if not plain.asked_for():
        convert(training.classifier)
    if training.device.type == "cpu":
        engine = Engine(training, without_graphs)
        _settle_cpu(engine, known, choose=work >= devices.SINGLE_THREAD_WORK)
        return engine
    if known.graphs is False and without_graphs is None and not plain.asked_for():
        without_graphs = "it has trained without so far"
    if plain.asked_for() or without_graphs is not None:
        engine = Engine(training, without_graphs)
        engine.compute(None, {"network": WRITTEN})
        return engine
    from domcli.trainer.fast import cuda
    from domcli.trainer.fast.graphs import record
    from domcli.trainer.fast.recorded import RecordingEngine

    recording, dataset = RecordingEngine(training, record), training.dataset
    cuda.settle(training, recording, known, images or (len(dataset.train.labels), len(dataset.test.labels)), record)
    return recording


def computation_of(training: Training, engine: Engine) -> Computation:
    """Return how a run computes now, for one that goes on to do the same."""
    if training.device.type == "cpu":
        kernels: Kernels = OWN if engine.about.get("kernels") == OWN else PYTORCH
        return Computation(plain=plain.asked_for(), kernels=kernels, threads=torch.get_num_threads())
    network: Network = COMPILED if engine.about.get("network") == COMPILED else WRITTEN
    return Computation(plain=plain.asked_for(), graphs=engine.records, network=network)


def _settle_cpu(engine: Engine, known: Computation, *, choose: bool) -> None:
    from domcli.trainer.native import operations

    training = engine.training
    if plain.asked_for():
        operations.use(False)
        engine.compute(None, {"kernels": operations.describe(training.precision)})
        return
    from domcli.trainer.fast import cpu
    from domcli.trainer.fast.twin import Twins

    if choose:
        cpu.settle(training, known)
    network = None
    with contextlib.suppress(RuntimeError):  # a network that cannot be copied: weights that hooks compute anew
        network = Twins(training.classifier)
    engine.compute(network, {"kernels": operations.describe(training.precision)})


def _work(training: Training) -> float:
    """Return about how much a step costs, in steps of PreActResNet-18 on 128 images of 32 x 32."""
    settings, images = training.settings, training.dataset.train.images
    classes, (_, channels, size, _) = training.dataset.classes, images.shape
    cost = NETWORKS[settings.model.name].size.multiply_adds(settings.model.width, channels, classes, size)
    usual = PREACTRESNET18.multiply_adds(PUBLISHED_WIDTH, 3, 10, 32)
    return cost / usual * settings.train.batch_size / 128
