"""What can be done with high-confidence patterns: nothing, leave them out, or make images of them that are harder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from domcli.catalogue.entry import Entry, Kind

Does = Literal["nothing", "weigh", "augment"]


@dataclass(frozen=True, kw_only=True)
class Operation(Entry):
    """An operation of DOM, and what it does to the patterns of a batch.

    `weigh`: its work returns the weights of their losses (B, float32) from which of them are high-confidence (B
    booleans). `augment`: its work returns images (B x C x H x W, float32 in [0, 1], channels_last) from such images,
    draws from the CPU's generator alone and never waits for the device.
    """

    does: Does
    everywhere: bool = False
    """Whether it can be done to every image of every epoch, too (`data.augment`)."""
    label: str = ""
    """What the paper's tables call DOM with it."""
    method: str = ""
    """What the names of presets call DOM with it, after the paradigm."""
    official: str | None = None
    """What the official implementation calls it."""

    def __post_init__(self) -> None:
        """Raise ValueError for what no operation can be."""
        super().__post_init__()
        if self.does not in get_args(Does):
            raise ValueError(f"does of {self.name} is {self.does!r}; it must be one of {', '.join(get_args(Does))}")

    @property
    def needs_work(self) -> bool:
        """Whether something must do its work."""
        return self.does != "nothing"

    @property
    def acts(self) -> bool:
        """Whether it does anything."""
        return self.does != "nothing"

    @property
    def augments(self) -> bool:
        """Whether it replaces images."""
        return self.does == "augment"

    @property
    def weighs(self) -> bool:
        """Whether it changes what patterns count in the update."""
        return self.does == "weigh"


OPERATIONS = Kind(
    "operation",
    ("dom.operate", "data.augment"),
    Operation,
    Operation(name="none", about="nothing", does="nothing", everywhere=True),
    Operation(
        name="remove",
        about="leave them out of the update (DOM_RE)",
        work="domcli.trainer.operations.remove:remove",
        does="weigh",
        label="DOM_RE",
        method="dom-re",
        official="RE",
    ),
    Operation(
        name="augmix",
        about="AugMix (Hendrycks et al., 2020)",
        work="domcli.trainer.operations.augmix:augmix",
        does="augment",
        everywhere=True,
        label="DOM_DA(AugMix)",
        method="dom-augmix",
        official="DA_AUG",
    ),
    Operation(
        name="randaugment",
        about="RandAugment (Cubuk et al., 2020)",
        work="domcli.trainer.operations.randaugment:randaugment",
        does="augment",
        everywhere=True,
        label="DOM_DA(RandAugment)",
        method="dom-randaugment",
        official="DA_Rand",
    ),
)
