"""The arithmetic that settings ask for, in passes through the network and in multiply-adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domcli.catalogue import ATTACKS, DATASETS, NETWORKS, OBJECTIVES, OPERATIONS, Passes, cost
from domcli.catalogue.datasets import BENCHED
from domcli.catalogue.networks import Size

if TYPE_CHECKING:
    from domcli.settings import Settings

CLASSES = 10
"""Of a data set of which that is not known."""


def step_passes(settings: Settings, high_confidence: float) -> Passes:
    """Return the passes of a step after the warm-up when so large a share of its patterns is high-confidence."""
    return cost.step_passes(
        ATTACKS[settings.attack.name],
        OPERATIONS[settings.dom.operate],
        OBJECTIVES[settings.train.objective].extra,
        steps=settings.attack.steps,
        restarts=settings.attack.restarts,
        high_confidence=high_confidence,
    )


def evaluation_passes(settings: Settings) -> Passes:
    """Return the passes over each image of the test set."""
    evaluation = settings.evaluation
    return cost.evaluation_passes(
        ATTACKS[settings.attack.name],
        steps=0 if evaluation.attack == "none" else evaluation.steps,
        restarts=evaluation.restarts,
        trained_restarts=settings.attack.restarts,
    )


def network(settings: Settings) -> Size:
    """Return how large the network is."""
    return NETWORKS[settings.model.name].size


def images(settings: Settings) -> tuple[int, int, int]:
    """Return channels, size and classes of the images; those that are benched where it is not known."""
    dataset = DATASETS.get(settings.data.dataset)
    channels, size, _ = (dataset and dataset.shape) or BENCHED
    return channels, size, (dataset and dataset.classes) or CLASSES


def multiply_adds(settings: Settings) -> float:
    """Return F, a forward pass over one image, in multiply-adds."""
    channels, size, classes = images(settings)
    return network(settings).multiply_adds(settings.model.width, channels, classes, size)
