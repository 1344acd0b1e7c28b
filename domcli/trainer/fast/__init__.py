"""The fast machinery, behind one door: `engine_for` gives the fastest engine that works on the run's device."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from domcli.trainer.engine import Engine

if TYPE_CHECKING:
    from domcli.trainer.state import Training

PLAIN = "DOMCLI_PLAIN"
"""With this environment variable set, steps are done one operation at a time: to compare, and to look for bugs."""


def settle(training: Training, known: dict[str, object]) -> None:
    """Choose how this process computes, where there is a choice; `known` is environment.json as it stands."""
    if training.device.type != "cpu":
        return
    from domcli.trainer.fast import cpu
    from domcli.trainer.native import operations

    if os.environ.get(PLAIN):
        operations.use(False)
    else:
        cpu.settle(training, known)


def engine_for(training: Training) -> Engine:
    """Return the engine of a run. What it computes is the same whichever it is, up to rounding."""
    if training.device.type != "cuda" or os.environ.get(PLAIN):
        return Engine(training)
    from domcli.trainer.fast.graphs import record
    from domcli.trainer.fast.recorded import RecordingEngine

    return RecordingEngine(training, record)
