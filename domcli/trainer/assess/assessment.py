"""One evaluation from the checkpoint's bytes to the result that is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load

from domcli import __version__
from domcli.errors import CheckpointError, DataError
from domcli.evaluations import Evaluation, Findings, Plan, Progress, write_result
from domcli.settings import Settings
from domcli.trainer import data
from domcli.trainer import device as devices
from domcli.trainer.assess import autoattack, pgd
from domcli.trainer.assess.batches import FittingNetwork, images_that_fit
from domcli.trainer.assess.measure import measure
from domcli.trainer.assess.stage import Stage, natural
from domcli.trainer.checkpoint import RESUME
from domcli.trainer.datasets.raw import evenly
from domcli.trainer.models import Classifier, build


def assess(
    folder: Path,
    plan: Plan,
    settings: Settings,
    content: bytes,
    device_name: str,
    shown_as: str | None,
    tell: Callable[[Progress], None],
) -> Evaluation:
    """Do what is left of an evaluation, in float32, keep its result and return it.

    `content` are the bytes of the checkpoint. Raises the DomcliError that says why it cannot be done.
    """
    device = devices.select_device(device_name)
    devices.prepare(device)
    dataset = data.load(settings.data, device, settings.options)
    places = _places(plan, dataset)
    devices.limit_threads((settings.model.width / 64) ** 2 * (dataset.test.images.shape[-1] / 32) ** 2)
    classifier = _classifier(plan, settings, dataset, content).to(device)
    network = FittingNetwork(classifier, 1)
    network.size = images_that_fit(classifier, tuple(dataset.test.images.shape[1:]), device)
    findings = Findings(folder)
    try:
        accuracies = measure(_stages(network, plan, dataset, device), network, dataset.test, places, findings, tell)
    finally:
        findings.close()
    result = Evaluation(
        plan=plan,
        accuracy=list(accuracies.values())[-1],
        natural_accuracy=accuracies["natural"],
        stages=accuracies,
        images=len(places),
        test_images=len(dataset.test.labels),
        seconds=findings.seconds,
        date=time.time(),
        device=shown_as or str(device),
        device_name=devices.name(device),
        versions={"domcli": __version__, "torch": str(torch.__version__)},
    )
    write_result(folder, result)
    return result


def _stages(network: FittingNetwork, plan: Plan, dataset: data.Dataset, device: torch.device) -> list[Stage]:
    if plan.attack == "autoattack":
        return [natural(network), *autoattack.stages(network, plan, dataset.classes, device)]
    return [natural(network), pgd.stage(network, plan)]


def _places(plan: Plan, dataset: data.Dataset) -> list[int]:
    """Return which images of the test set are meant."""
    available = len(dataset.test.labels)
    if plan.images is None:
        return list(range(available))
    if plan.images > available:
        raise DataError(f"--images is {plan.images}, but the run's test set has {available} images")
    places: list[int] = evenly(dataset.test.labels.cpu().numpy().astype(np.int64), plan.images).tolist()
    return places


def _classifier(plan: Plan, settings: Settings, dataset: data.Dataset, content: bytes) -> Classifier:
    network = build(settings.model, dataset.test.images.shape[1], dataset.classes, settings.options)
    try:
        weights = {name: value for name, value in load(content).items() if not name.startswith(RESUME)}
        network.load_state_dict(weights)
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{plan.checkpoint} does not fit the network of the run's settings: {reason}") from error
    return Classifier(network, dataset.mean, dataset.std)
