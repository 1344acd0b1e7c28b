"""The fast machinery, behind one door: `engine_for` gives the fastest engine that works on the run's device."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from domcli.trainer.engine import Engine

if TYPE_CHECKING:
    from domcli.trainer.state import Training

PLAIN = "DOMCLI_PLAIN"
"""With this environment variable set, steps are done one operation at a time: to compare, and to look for bugs."""


def engine_for(training: Training) -> Engine:
    """Return the engine of a run. What it computes is the same whichever it is, up to rounding."""
    if training.device.type != "cuda" or os.environ.get(PLAIN):
        return Engine(training)
    from domcli.trainer.fast.graphs import record
    from domcli.trainer.fast.recorded import RecordingEngine

    return RecordingEngine(training, record)
