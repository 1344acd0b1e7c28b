"""What a checkpoint says of itself, read without PyTorch; the weights in it are the trainer's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domcli import files
from domcli.errors import CheckpointError

if TYPE_CHECKING:
    from domcli.rundir import RunDirectory
    from domcli.settings import Settings

SCHEMA = 1


def read_about(path: Path) -> dict[str, Any]:
    """Return what stands beside the weights: epoch, step, accuracies. Raises CheckpointError if it cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        files.open_bytes(path).close()
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {})["domcli"])
    except (SafetensorError, OSError, KeyError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not a readable domcli checkpoint: {error}") from error
    if not isinstance(about, dict) or not isinstance(schema := about.get("schema", 0), int):
        raise CheckpointError(f"{path} is not a readable domcli checkpoint: it does not say of which schema it is")
    if schema > SCHEMA:
        raise CheckpointError(f"{path} was written by a newer domcli; upgrade domcli")
    return about


def about_last(run: RunDirectory, settings: Settings) -> dict[str, Any]:
    """Return what stands beside the weights of checkpoints/last, which a run with these settings can go on from.

    Raises CheckpointError if it cannot be read or is of other settings.
    """
    path = run.checkpoint("last")
    about = read_about(path)
    if about.get("settings") != settings.fingerprint():
        raise CheckpointError(f"{path} was written with other settings than settings.toml; it cannot be resumed")
    return about
