"""What the settings choose by name: data sets, networks, objectives, operations, attacks, schedules, threshold rules.

Each entry says what can be known of it without PyTorch, and where its work is. Whatever needs the names, the sizes or
the costs of such things reads them here.
"""

from __future__ import annotations

from typing import Any

from domcli.catalogue.attacks import ATTACKS, Attack
from domcli.catalogue.choice import Choice
from domcli.catalogue.cost import Passes
from domcli.catalogue.datasets import DATASETS, Dataset, Download, Member, reads_folder
from domcli.catalogue.entry import NO_OPTIONS, Entry, Kind, Option
from domcli.catalogue.networks import NETWORKS, ByWidth, Network, Residual
from domcli.catalogue.objectives import OBJECTIVES, Objective
from domcli.catalogue.operations import OPERATIONS, Operation
from domcli.catalogue.schedules import SCHEDULES, Schedule
from domcli.catalogue.thresholds import THRESHOLDS, ThresholdRule

KINDS: tuple[Kind[Any], ...] = (DATASETS, NETWORKS, OBJECTIVES, OPERATIONS, ATTACKS, SCHEDULES, THRESHOLDS)


def all_options(*, own: bool = False) -> dict[str, Option]:
    """Return every option by its key in [options], `NAME-OPTION`; `own`: of domcli's entries alone."""
    entries = (entry for kind in KINDS for entry in kind if entry.is_own or not own)
    return {f"{entry.name}-{option.name}": option for entry in entries for option in entry.options}


__all__ = [
    "ATTACKS",
    "DATASETS",
    "KINDS",
    "NETWORKS",
    "NO_OPTIONS",
    "OBJECTIVES",
    "OPERATIONS",
    "SCHEDULES",
    "THRESHOLDS",
    "Attack",
    "ByWidth",
    "Choice",
    "Dataset",
    "Download",
    "Entry",
    "Kind",
    "Member",
    "Network",
    "Objective",
    "Operation",
    "Option",
    "Passes",
    "Residual",
    "Schedule",
    "ThresholdRule",
    "all_options",
    "reads_folder",
]
