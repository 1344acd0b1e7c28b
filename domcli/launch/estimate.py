"""How long runs will take, from runs of the same setting that were timed on the same device."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domcli import __version__, devices, finding, imagetree
from domcli.catalogue import reads_folder
from domcli.errors import DataError, SettingsError
from domcli.runs import Run, read_run
from domcli.sharing import figures
from domcli.timing.estimate import Measured, NotMeasured, estimate
from domcli.timing.kept import Conditions, recall

if TYPE_CHECKING:
    from domcli.settings import Settings
    from domcli.ticket import Ticket

WITHOUT_COST = {
    "data": {"root", "mean", "std"},
    "train": {"epochs", "schedule_epochs", "seed", "max_lr", "schedule", "momentum", "weight_decay"},
    "dom": {"threshold", "rule", "strength"},
    "attack": {"epsilon", "alpha"},
    "evaluation": {"alpha"},
    "memorization": {"record"},
    "checkpoint": {"every"},
}
"""Settings that change what comes out, but not how long an epoch takes, or not by much."""


@dataclass(frozen=True)
class Timed:
    """A run that was timed: seconds an epoch, and whether all of its epochs were."""

    key: Any
    pace: float
    whole: bool


class Estimator:
    """Knows the timed runs of a runs directory."""

    def __init__(self, runs_dir: Path, ticket: Ticket) -> None:
        products = {gpu.uuid: gpu.product for gpu in devices.gpus()}
        self._names = {
            products.get(device.visible or "", "") if device.is_gpu else devices.cpu_name() for device in ticket.devices
        }
        self._counted: dict[str, tuple[int, int] | None] = {}
        self._timed = list(self._look(runs_dir))
        self._measured = [_measured(name, gpu=any(device.is_gpu for device in ticket.devices)) for name in self._names]

    def seconds(self, settings: Settings) -> float | None:
        """Return about how long a run with these settings will take, as those like it took here, else as measured by
        `domcli bench`; None if there is neither.
        """
        images = None
        if reads_folder(settings.data.dataset):
            images = self._images_of(settings)
            if images is None:
                return None
        wanted = cost_key(settings.to_dict(), images)
        like = [timed for timed in self._timed if timed.key == wanted]
        # Epochs after the warm-up may take longer, and only a whole run has had all of them.
        paces = [timed.pace for timed in like if timed.whole] or [timed.pace for timed in like]
        return sum(paces) / len(paces) * settings.train.epochs if paces else self._benched(settings)

    def _images_of(self, settings: Settings) -> tuple[int, int] | None:
        """Return how many images of its folder a run trains and tests on; None where they cannot be counted."""
        root, data = settings.data.root, settings.data
        if root not in self._counted:
            try:
                self._counted[root] = imagetree.count_images(imagetree.data_root(root))
            except DataError:
                self._counted[root] = None
        found = self._counted[root]
        if found is None:
            return None
        return min(found[0], data.train_images or found[0]), min(found[1], data.test_images or found[1])

    def _benched(self, settings: Settings) -> float | None:
        """Return what `domcli bench` lets expect, on the slowest of the devices; None if one was not measured."""
        found = []
        for measured in self._measured:
            if measured is None:
                return None
            try:
                found.append(float(estimate(settings, measured)["total"]))
            except (NotMeasured, SettingsError):  # the settings of a run may name what is not known here
                return None
        return max(found, default=None)

    def _look(self, runs_dir: Path) -> Iterator[Timed]:
        for directory in finding.list_runs(runs_dir):
            run = read_run(directory, brief=True)
            if run.state.epochs and self._on_device(run):
                pace = run.state.seconds / run.state.epochs_done
                yield Timed(cost_key(run.settings, _images_in(run)), pace, run.status == "finished")

    def _on_device(self, run: Run) -> bool:
        return run.state.started is not None and run.state.started.device_name in self._names


def _measured(name: str, *, gpu: bool) -> Measured | None:
    """Return what `domcli bench` has measured on a device, with the software of now."""
    cores = None if gpu else devices.cpu_count()
    found = recall(Conditions(device=name, cores=cores, torch=figures.torch_version(), domcli=__version__))
    return None if found is None else found.measured()


def duration_of_all(seconds: Sequence[float | None], slots: int) -> float | None:
    """Return how long runs take that start in order whenever one of the slots is free; None if one is not known."""
    free = [0.0] * slots
    for one in seconds:
        if one is None:
            return None
        heapq.heapreplace(free, free[0] + one)
    return max(free)


def _images_in(run: Run) -> tuple[int, int] | None:
    """Return the images that a run of an image folder had; for other data sets the settings tell."""
    started = run.state.started
    if started is None or image_folder(run.settings) is None:
        return None
    return started.train_size, started.test_size


def image_folder(tables: dict[str, Any]) -> object:
    """Return the data.root of settings that read an image folder, None of others."""
    data = tables.get("data")
    return data.get("root") if isinstance(data, dict) and reads_folder(data.get("dataset")) else None


def cost_key(tables: dict[str, Any], images: object = None) -> Any:
    """Return what of the settings decides how long an epoch takes, comparable.

    `images` stands for how many there are, where the settings do not tell: of an image folder.
    """
    return images, sorted(
        (section, key, repr(value))
        for section, table in tables.items()
        if isinstance(table, dict)
        for key, value in table.items()
        if key not in WITHOUT_COST.get(section, set())
    )
