"""What is known before a trainer starts: can this work here, and with what will it be done."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domcli import __version__, files, imagetree, plain
from domcli.catalogue import NETWORKS, reads_folder
from domcli.errors import NoRoomError, StorageError
from domcli.launch import slots
from domcli.timing import work

if TYPE_CHECKING:
    from domcli.settings import Settings

BYTES_A_PARAMETER = 4
STREAM_AND_LOG_BYTES = 1_000_000
GIT_SECONDS = 5.0


def preflight(experiments: Sequence[Settings], runs_dir: Path) -> None:
    """Check what can be known without torch: image folders are there, the runs folder can hold all these runs.

    Raises DataError or StorageError.
    """
    for root in {settings.data.root: None for settings in experiments if reads_folder(settings.data.dataset)}:
        imagetree.look(imagetree.data_root(root))
    folder = _existing_ancestor(runs_dir)
    if not files.is_folder(folder):
        raise StorageError(f"cannot create runs in {runs_dir}: {folder} is a file; choose another --runs-dir")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StorageError(f"cannot create runs in {runs_dir}: {folder} is not writable; choose another --runs-dir")
    slots.require_writable(runs_dir)
    needed = sum(checkpoint_bytes(settings) for settings in experiments)
    free = shutil.disk_usage(folder).free
    if needed > free:
        fewer = ", or keep fewer with --set checkpoint.every=0" if any(map(_checkpoints_by_epoch, experiments)) else ""
        runs = "this run needs" if len(experiments) == 1 else f"these {len(experiments)} runs need"
        raise NoRoomError(
            f"{runs} about {_size(needed)} for checkpoints, and {folder} has {_size(free)} free; free some space or "
            f"choose another --runs-dir{fewer}"
        )


def checkpoint_bytes(settings: Settings) -> int:
    """Return about how many bytes the run will take at its peak.

    `last` is weights and momentum and is written aside, so it is there twice for a moment; `best` and those by epoch
    are weights alone.
    """
    network = NETWORKS.get(settings.model.name)
    if network is None:  # an extension adds it: the trainer will know
        return STREAM_AND_LOG_BYTES
    channels, _, classes = work.images(settings)
    weights = network.size.parameters(settings.model.width, channels, classes) * BYTES_A_PARAMETER
    return int(weights * (2 * 2 + 1 + _checkpoints_by_epoch(settings))) + STREAM_AND_LOG_BYTES


def machine() -> dict[str, Any]:
    """Return what environment.json says of where and with what runs are made."""
    return {
        "plain": plain.asked_for(),
        "hostname": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "domcli": __version__,
        "torch": _version("torch"),
        "torchvision": _version("torchvision"),
        "git_commit": _git_commit(),
    }


def _checkpoints_by_epoch(settings: Settings) -> int:
    every = settings.checkpoint.every
    return settings.train.epochs // every if every else 0


def _existing_ancestor(path: Path) -> Path:
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if files.exists(folder))


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """Return the commit of the current folder, `-dirty` after it when files differ from it; None outside of git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=GIT_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None
