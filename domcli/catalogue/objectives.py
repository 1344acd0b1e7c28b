"""The objectives: which loss the attack raises, and which one the update lowers."""

from __future__ import annotations

from dataclasses import dataclass

from domcli.catalogue.cost import NOTHING, Passes
from domcli.catalogue.entry import Entry, Kind

CROSS_ENTROPY = "cross-entropy"
"""The objective of the paper."""


@dataclass(frozen=True, kw_only=True)
class Objective(Entry):
    """An objective. Its work returns a trainer.objectives.Objective."""

    extra: Passes = NOTHING
    """Passes over each image that a step of adversarial training costs beside those of cross-entropy."""
    in_evaluation_mode: bool = False
    """Whether the network is in evaluation mode while the attack asks for gradients."""


OBJECTIVES = Kind(
    "objective",
    ("train.objective",),
    Objective,
    Objective(
        name=CROSS_ENTROPY,
        about="cross-entropy of the perturbed images (paper, Equation 2)",
        work="domcli.trainer.objectives.cross_entropy:CrossEntropy",
    ),
)
