"""What a machine remembers of trainers at the same time."""

from __future__ import annotations

from domcli import devices
from domcli.sharing import figures
from domcli.sharing.figures import Together


def remember_that_two_are_best(paradigm: str) -> None:
    """Keep figures of this machine's CPU, by which two of PreActResNet-18 are worth it."""
    together = tuple(Together(trainers=n, images_per_second=100.0 * n, memory=1) for n in (1, 2))
    kept = {"device": devices.cpu_name(), "cores": devices.cpu_count(), "mps": False, "paradigm": paradigm}
    network = {"model": "preactresnet18", "width": 64, "batch_size": 128, "precision": "float32"}
    about = {"torch": figures.torch_version(), "domcli": "1", "date": "2026"}
    figures.remember(figures.Figures(**kept, **network, **about, together=together))
