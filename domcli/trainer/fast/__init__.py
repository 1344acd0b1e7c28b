"""The fast machinery, behind one door: `engine_for` gives the fastest engine that works on the run's device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domcli import plain
from domcli.trainer import device as devices
from domcli.trainer.engine import WRITTEN, Engine

if TYPE_CHECKING:
    from domcli.trainer.state import Training


def settle(
    training: Training,
    known: dict[str, object],
    images: tuple[int, int] | None = None,
    *,
    without_graphs: str | None = None,
) -> None:
    """Choose how this process computes, where there is a choice; `known` is environment.json as it stands.

    `images` are those trained and tested on in an epoch, if it is not this data set for which to choose.
    `without_graphs` says why nothing may be recorded, if that is so.
    """
    work = _work(training)
    if without_graphs is not None:
        training.engine = Engine(training, without_graphs)
        training.engine.about_network = {"network": WRITTEN} if training.device.type == "cuda" else {}
    devices.limit_threads(work)
    if training.device.type == "cpu":
        _settle_cpu(training, known, choose=work >= devices.SINGLE_THREAD_WORK)
    elif without_graphs is None and not plain.asked_for():
        from domcli.trainer.fast import cuda
        from domcli.trainer.fast.graphs import record

        dataset = training.dataset
        cuda.settle(training, known, images or (len(dataset.train.labels), len(dataset.test.labels)), record)


def _settle_cpu(training: Training, known: dict[str, object], *, choose: bool) -> None:
    from domcli.trainer.fast import cpu
    from domcli.trainer.fast.twin import Twins
    from domcli.trainer.native import operations

    if plain.asked_for():
        operations.use(False)
        return
    training.engine.network = Twins(training.classifier)
    if choose:
        cpu.settle(training, known)


def engine_for(training: Training) -> Engine:
    """Return the engine of a run. What it computes is the same whichever it is, up to rounding."""
    if training.device.type != "cuda" or plain.asked_for():
        return Engine(training)
    from domcli.trainer.fast.graphs import record
    from domcli.trainer.fast.recorded import RecordingEngine

    return RecordingEngine(training, record)


def _work(training: Training) -> float:
    """Return about how much a step costs, in steps of PreActResNet-18 on 128 images of 32 x 32."""
    settings, size = training.settings, training.dataset.train.images.shape[-1]
    depth = 1.0 if settings.model.name == "preactresnet18" else 9.0
    return depth * (settings.model.width / 64) ** 2 * (size / 32) ** 2 * settings.train.batch_size / 128
