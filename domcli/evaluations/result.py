"""The result of an evaluation, and the folder in the run that it is kept in."""

from __future__ import annotations

from pathlib import Path

import msgspec

from domcli import files
from domcli.bounds import Count, Fraction, Seconds
from domcli.errors import StorageError
from domcli.evaluations.plan import Plan
from domcli.files import replace_text
from domcli.rundir import UNREADABLE, RunDirectory

PLAN = "plan.json"
RESULT = "result.json"


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """A result. Accuracies are fractions of all `images`; `seconds` add up over all sittings."""

    plan: Plan
    accuracy: Fraction
    """Images that are classified correctly, with the attack and without."""
    natural_accuracy: Fraction
    stages: dict[str, Fraction]
    """Accuracy left after each attack in turn; it begins with `natural`, which is none."""
    images: Count
    test_images: Count
    """Size of the run's test set."""
    seconds: Seconds
    date: Seconds
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
    with run.pinned("evaluate"):
        try:
            for path in (run.evaluations, folder):
                files.make_folder(path)
        except OSError as error:
            raise StorageError(f"cannot write in {run.path}: {error.strerror}") from error
        _write(folder / PLAN, plan)
    return folder


def read_plan(folder: Path) -> Plan:
    """Return what the evaluation of a folder is to measure. Raises StorageError if it cannot be read."""
    try:
        return msgspec.json.decode(files.read_bytes(folder / PLAN), type=Plan)
    except UNREADABLE as error:
        raise StorageError(f"{folder / PLAN} cannot be read: delete this evaluation and ask for it again") from error


def read_result(folder: Path) -> Evaluation | None:
    """Return the result that lies in the folder of an evaluation; None if there is none, or it is damaged."""
    try:
        return msgspec.json.decode(files.read_bytes(folder / RESULT), type=Evaluation)
    except UNREADABLE:
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
