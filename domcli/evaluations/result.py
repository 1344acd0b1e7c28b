"""The result of an evaluation, and the folder in the run that it is kept in."""

from __future__ import annotations

from pathlib import Path

import msgspec

from domcli.errors import StorageError
from domcli.evaluations.plan import Plan
from domcli.rundir import RunDirectory, replace_text

PLAN = "plan.json"
RESULT = "result.json"


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """A result. Accuracies are fractions of all `images`; `seconds` add up over all sittings."""

    plan: Plan
    accuracy: float
    """Images that are classified correctly, with the attack and without."""
    natural_accuracy: float
    stages: dict[str, float]
    """Accuracy left after each attack in turn; it begins with `natural`, which is none."""
    images: int
    test_images: int
    """Size of the run's test set."""
    seconds: float
    date: float
    """When it was done, seconds since 1970."""
    device: str
    device_name: str
    versions: dict[str, str]

    @property
    def is_complete(self) -> bool:
        """Whether the run's whole test set was attacked."""
        return self.images == self.test_images


def prepare(run: RunDirectory, plan: Plan) -> Path:
    """Return the folder of an evaluation, made with its plan if it is not there. Raises StorageError."""
    folder = run.evaluations / plan.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot write in {run.path}: {error.strerror}") from error
    _write(folder / PLAN, plan)
    return folder


def read_plan(folder: Path) -> Plan:
    """Return what the evaluation of a folder is to measure. Raises StorageError if it cannot be read."""
    try:
        return msgspec.json.decode((folder / PLAN).read_bytes(), type=Plan)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StorageError(f"{folder / PLAN} cannot be read: delete this evaluation and ask for it again") from error


def read_result(folder: Path) -> Evaluation | None:
    """Return the result that lies in the folder of an evaluation; None if there is none, or it is damaged."""
    try:
        return msgspec.json.decode((folder / RESULT).read_bytes(), type=Evaluation)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def write_result(folder: Path, result: Evaluation) -> None:
    """Keep the result of an evaluation. Raises StorageError."""
    _write(folder / RESULT, result)


def read_all(run: RunDirectory) -> list[Evaluation]:
    """Return the results of a run, oldest first; what is not finished or cannot be read is left out."""
    try:
        folders = list(run.evaluations.iterdir())
    except OSError:
        return []
    found = [result for result in map(read_result, folders) if result is not None]
    return sorted(found, key=lambda result: (result.date, result.plan.name))


def _write(path: Path, value: Plan | Evaluation) -> None:
    try:
        replace_text(path, msgspec.json.format(msgspec.json.encode(value)).decode() + "\n")
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error
