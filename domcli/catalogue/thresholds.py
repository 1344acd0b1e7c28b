"""The rules for the loss threshold T, under which a pattern is high-confidence."""

from __future__ import annotations

from dataclasses import dataclass

from domcli.catalogue.entry import Entry, Kind


@dataclass(frozen=True, kw_only=True)
class ThresholdRule(Entry):
    """A rule. Its work returns T (a float32 tensor of no dimensions, in nats) from the natural losses of the batch (B,
    float32) and `dom.threshold` as such a tensor; it never waits for the device.
    """

    constant: bool = False
    """Whether T is `dom.threshold` whatever the losses."""


THRESHOLDS = Kind(
    "threshold rule",
    ("dom.rule",),
    ThresholdRule,
    ThresholdRule(
        name="fixed", about="T is dom.threshold throughout", work="domcli.trainer.thresholds.fixed:fixed", constant=True
    ),
)
