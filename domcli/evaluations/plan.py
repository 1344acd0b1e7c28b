"""What an evaluation measures: the checkpoint, by what it holds and not by its name alone, and the attack."""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from domcli import files
from domcli.errors import CheckpointError, SettingsError
from domcli.printable import quoted
from domcli.rundir import RunDirectory

if TYPE_CHECKING:
    from domcli.settings import Settings

AUTOATTACK_PACKAGE = "pyautoattack"
AUTOATTACK_BATCH = 250
"""Images that AutoAttack takes at once, as its authors do: its random draws depend on which images are together."""
CHUNK = 1 << 20
LONGEST_HEADER = 100_000_000
"""Bytes; the safetensors format allows no longer one."""

MOST = 2**53
"""Of what a checkpoint counts."""
MOST_PASSES = 1_000_000
"""Steps, restarts or images of an evaluation."""

Attack = Literal["pgd", "autoattack"]
Norm = Literal["linf", "l2"]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured; two evaluations with the same plan have the same result. `epsilon` and `alpha` are in 1/255."""

    checkpoint: str
    """File of the weights: from the run directory on if it lies there, else in full."""
    digest: str
    """SHA-256 of that file."""
    epoch: int
    """Epochs after which it was written."""
    step: int
    """Steps of the next epoch, where training was stopped in the middle of one."""
    attack: Attack
    norm: Norm
    epsilon: float
    alpha: float | None = None
    """Step size of PGD."""
    steps: int | None = None
    """Steps of PGD."""
    restarts: int | None = None
    """Random starts of PGD; an image counts as correct if it is after every one of them."""
    images: int | None = None
    """So many test images, spread evenly over the classes; None: the run's whole test set."""
    seed: int
    package: str | None = None
    """AutoAttack's package and its version."""
    batch: int | None = None
    """Images that AutoAttack draws for at once."""

    @property
    def name(self) -> str:
        """Name of the evaluation's folder."""
        content = json.dumps(msgspec.to_builtins(self), sort_keys=True)
        return f"{self.attack}-{Path(self.checkpoint).stem}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"

    @property
    def title(self) -> str:
        """What the attack is called: `AutoAttack`, or PGD with its steps and its restarts, such as `PGD-50-10`."""
        if self.attack == "autoattack":
            return "AutoAttack"
        return f"PGD-{self.steps}" + (f"-{self.restarts}" if self.restarts != 1 else "")

    def file(self, run: RunDirectory) -> Path:
        """Return where the weights lie."""
        return run.path / self.checkpoint


def make_plan(
    run: RunDirectory,
    settings: Settings,
    *,
    checkpoint: str = "best",
    attack: Attack = "pgd",
    norm: Norm | None = None,
    epsilon: float | None = None,
    alpha: float | None = None,
    steps: int | None = None,
    restarts: int | None = None,
    images: int | None = None,
) -> Plan:
    """Return the plan of an evaluation; what is not said is as in the run's own evaluation, the seed as in training.

    `checkpoint` is `best`, `last`, `epoch-0010` or a file. Raises CheckpointError if the run has no such checkpoint,
    SettingsError for parameters that make no sense or that the attack does not have, and if AutoAttack's package is not
    installed.
    """
    path = _checkpoint_file(run, checkpoint)
    digest, about = _read(path)
    inside = path.is_relative_to(run.path)
    if not inside and about.get("settings") != settings.fingerprint():
        raise CheckpointError(f"{path} was written with other settings than those of {run.name}: name its own run")
    _refuse_senseless(epsilon, alpha, {"steps": steps, "restarts": restarts, "images": images})
    own = settings.evaluation
    if attack == "autoattack":
        _refuse_pgd_parameters({"alpha": alpha, "steps": steps, "restarts": restarts})
        specific: dict[str, Any] = {"package": _package(), "batch": AUTOATTACK_BATCH}
    else:
        specific = {
            "alpha": float(own.alpha if alpha is None else alpha),
            "steps": own.steps if steps is None else steps,
            "restarts": own.restarts if restarts is None else restarts,
        }
    return Plan(
        checkpoint=str(path.relative_to(run.path) if inside else path.absolute()),
        digest=digest,
        epoch=_counter(path, about, "epoch"),
        step=_counter(path, about, "step"),
        attack=attack,
        norm=settings.attack.norm if norm is None else norm,
        epsilon=float(settings.attack.epsilon if epsilon is None else epsilon),
        images=images,
        seed=settings.train.seed,
        **specific,
    )


def _refuse_senseless(epsilon: float | None, alpha: float | None, counts: dict[str, int | None]) -> None:
    if epsilon is not None and not 0 <= epsilon < math.inf:
        raise SettingsError(f"--epsilon is {epsilon:g}; it must be a number of at least 0, in 1/255")
    if alpha is not None and not 0 < alpha < math.inf:
        raise SettingsError(f"--alpha is {alpha:g}; it must be a number greater than 0, in 1/255")
    for name, value in counts.items():
        if value is not None and value < 1:
            raise SettingsError(f"--{name} is {value}; it must be at least 1")
        if value is not None and value > MOST_PASSES:
            raise SettingsError(f"--{name} is more than {MOST_PASSES:,}, which no evaluation needs")


def _refuse_pgd_parameters(given: dict[str, float | None]) -> None:
    names = " and ".join(f"--{name}" for name, value in given.items() if value is not None)
    if names:
        raise SettingsError(f"AutoAttack has no {names}, it fixes its parameters itself: leave out {names}")


def _package() -> str:
    import importlib.metadata  # slow to load, and seldom needed

    try:
        return f"{AUTOATTACK_PACKAGE} {importlib.metadata.version(AUTOATTACK_PACKAGE)}"
    except importlib.metadata.PackageNotFoundError:
        raise SettingsError(
            f"AutoAttack needs the package {AUTOATTACK_PACKAGE}: install it with pip install 'domcli[autoattack]'"
        ) from None


def _checkpoint_file(run: RunDirectory, wanted: str) -> Path:
    """Return the file meant; one in the run's own folder by its path there, however it was named."""
    named, direct = run.checkpoint(wanted), Path(wanted)
    if os.sep not in wanted and files.is_regular(named):
        return named
    if files.is_regular(direct):
        inside = direct.resolve().parent == run.checkpoints.resolve()
        return run.checkpoints / direct.name if inside else direct.absolute()
    if os.sep not in wanted and os.path.lexists(named):
        raise CheckpointError(f"{named} is not a regular file, so there is no checkpoint {quoted(wanted)} to evaluate")
    found = filter(files.is_regular, run.checkpoints.glob("[!.]*.safetensors"))
    kept = ", ".join(sorted(path.stem for path in found)) or "none"
    raise CheckpointError(f"{run.name} has no checkpoint {quoted(wanted)}, and there is no such file; it has {kept}")


def _counter(path: Path, about: dict[str, Any], name: str) -> int:
    value = about.get(name, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST:
        raise CheckpointError(f"{path} is not a readable domcli checkpoint: its {name} is not a count")
    return value


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    """Return the digest of a checkpoint and what stands beside its weights: of one file, even while it is replaced.

    A safetensors file begins with the length of its header, 8 bytes, and the header, which is JSON.
    """
    digest = hashlib.sha256()
    try:
        with files.open_bytes(path) as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length <= LONGEST_HEADER else {}
            about = json.loads(header["__metadata__"]["domcli"])
            file.seek(0)
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError):
        about = None
    if not isinstance(about, dict):
        raise CheckpointError(f"{path} is not a readable domcli checkpoint, a .safetensors file that domcli wrote")
    return digest.hexdigest(), about
