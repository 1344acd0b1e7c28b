"""The one owner of every path in a run directory. Files are written aside, then renamed: no reader sees half of one."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import tomli
import tomli_w

from domcli.errors import RunDirectoryError, StorageError
from domcli.process import ProcessIdentity
from domcli.ticket import Ticket

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]{0,199}")
RESERVE_BYTES = 64 * 1024
STAGING_PREFIX = ".new-"


@dataclass(frozen=True)
class RunDirectory:
    """One run: settings, environment, process, event stream, log, checkpoints."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def settings(self) -> Path:
        """Resolved settings, enough to run it again."""
        return self.path / "settings.toml"

    @property
    def environment(self) -> Path:
        """Versions, device, git commit, command line."""
        return self.path / "environment.json"

    @property
    def process(self) -> Path:
        """Identity of the trainer that was launched last."""
        return self.path / "process.json"

    @property
    def ticket(self) -> Path:
        """The run's place in the queue, while it is in the queue or its trainer runs."""
        return self.path / "queue.json"

    @property
    def lock(self) -> Path:
        """Held by the trainer that writes here, and by whoever changes what is to be launched: one at the most."""
        return self.path / "trainer.lock"

    @property
    def events(self) -> Path:
        """The event stream; append only."""
        return self.path / "events.jsonl"

    @property
    def brief(self) -> Path:
        """What a list shows of the run, so that it need not read the whole stream; kept by the trainer."""
        return self.path / "brief.json"

    @property
    def log(self) -> Path:
        """Stdout and stderr of the trainer."""
        return self.path / "trainer.log"

    @property
    def reserve(self) -> Path:
        """Space set aside, given up on a full disk so that the closing event still fits."""
        return self.path / ".reserve"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def memorization(self) -> Path:
        """Natural loss of every training pattern at every epoch (epochs x patterns, float16)."""
        return self.path / "memorization.npy"

    @property
    def evaluations(self) -> Path:
        """Attacks on checkpoints after the training, a folder for each."""
        return self.path / "evaluations"

    def checkpoint(self, label: str) -> Path:
        """Return the file of a checkpoint: `best`, `last` or `epoch-0010`."""
        return self.checkpoints / f"{label}.safetensors"

    def read_settings(self) -> dict[str, Any]:
        """Return the tables of settings.toml. Raises RunDirectoryError if the file is missing or damaged."""
        try:
            return tomli.loads(self.settings.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunDirectoryError(f"cannot read {self.settings}: {_reason(error)}") from error

    def read_environment(self) -> dict[str, Any]:
        """Return environment.json, or an empty object if it is missing or damaged (nothing depends on it)."""
        try:
            content = json.loads(self.environment.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def update_environment(self, entries: dict[str, Any]) -> None:
        """Merge entries into environment.json."""
        merged = {**self.read_environment(), **entries}
        replace_text(self.environment, json.dumps(merged, indent=2) + "\n")

    def read_process(self) -> ProcessIdentity | None:
        """Return the trainer launched last; None if none was, the file is damaged, or this is a copy of its run."""
        try:
            identity = msgspec.json.decode(self.process.read_bytes(), type=ProcessIdentity)
            return identity if identity.directory in (0, self.path.stat().st_ino) else None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def read_ticket(self) -> Ticket | None:
        """Return the ticket that lies here; None if there is none, it is damaged, or this is a copy of its run."""
        try:
            ticket = msgspec.json.decode(self.ticket.read_bytes(), type=Ticket)
            return ticket if ticket.directory == self.path.stat().st_ino else None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def waiting_ticket(self) -> Ticket | None:
        """Return the ticket if no trainer has been launched for it yet."""
        ticket = self.read_ticket()
        return None if ticket is None or self.was_launched_for(ticket) else ticket

    def was_launched_for(self, ticket: Ticket) -> bool:
        """Tell whether the last trainer was launched for this ticket."""
        identity = self.read_process()
        return identity is not None and identity.ticket == ticket.id

    def write_ticket(self, ticket: Ticket) -> None:
        """Put the run in the queue."""
        ticket = msgspec.structs.replace(ticket, directory=self.path.stat().st_ino)
        replace_text(self.ticket, msgspec.json.format(msgspec.json.encode(ticket)).decode() + "\n")

    def write_process(self, identity: ProcessIdentity) -> None:
        """Say which process is at work on this directory."""
        identity = msgspec.structs.replace(identity, directory=self.path.stat().st_ino)
        replace_text(self.process, msgspec.json.format(msgspec.json.encode(identity)).decode() + "\n")


def create(
    runs_dir: Path, name: str, settings: dict[str, Any], environment: dict[str, Any], ticket: Ticket | None = None
) -> RunDirectory:
    """Create a complete run directory under an unused name, with a place in the queue if it is given one.

    It is built aside and renamed, so it is whole or not there. Raises RunDirectoryError for a name that is taken or
    not allowed, StorageError when nothing can be written there.
    """
    require_unused(runs_dir, name)
    target = runs_dir / name
    created = [folder for folder in (runs_dir, *runs_dir.parents) if not os.path.lexists(folder)]
    staging: Path | None = None
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=runs_dir))
        staging.chmod(0o755)
        _fill(RunDirectory(staging), settings, environment, ticket)
        staging.rename(target)
    except BaseException as error:
        _undo(staging, created)
        if not isinstance(error, OSError):
            raise
        if os.path.lexists(target):
            raise RunDirectoryError(f"a run named {name!r} exists in {runs_dir}; choose another --name") from error
        raise StorageError(f"cannot create a run in {runs_dir}: {_reason(error)}; choose another --runs-dir") from error
    return RunDirectory(target)


def require_unused(runs_dir: Path, name: str) -> None:
    """Raise RunDirectoryError for a name that is not allowed or taken."""
    if not NAME.fullmatch(name):
        raise RunDirectoryError(
            f"{name!r} is not a run name: use up to 200 letters, digits and . _ + = -, beginning with a letter or digit"
        )
    if os.path.lexists(runs_dir / name):
        raise RunDirectoryError(f"a run named {name!r} exists in {runs_dir}; choose another --name, or delete that run")


def unused_name(runs_dir: Path, wanted: str) -> str:
    """Return the wanted name, or the first of `wanted-2`, `wanted-3`, ... that no run has."""
    name, number = wanted, 1
    while os.path.lexists(runs_dir / name):
        number += 1
        name = f"{wanted}-{number}"
    return name


def discard(run: RunDirectory) -> None:
    """Remove a whole run directory: moved aside first, so that no reader sees half of it. Of a link, only the link.

    Raises StorageError if it cannot be moved.
    """
    aside = run.path.with_name(f"{STAGING_PREFIX}removed-{uuid.uuid4().hex}")
    try:
        if run.path.is_symlink():
            run.path.unlink()
            return
        run.path.rename(aside)
    except OSError as error:
        raise StorageError(f"cannot remove {run.path}: {_reason(error)}") from error
    shutil.rmtree(aside, ignore_errors=True)


def replace_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Write a text file aside, flush it to disk and rename it over `path`; on an OSError `path` is as it was.

    What is not `durable` may be gone after a power failure, and is not waited for.
    """
    handle, aside = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        Path(aside).chmod(0o644)
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def _fill(run: RunDirectory, settings: dict[str, Any], environment: dict[str, Any], ticket: Ticket | None) -> None:
    replace_text(run.settings, tomli_w.dumps(settings))
    replace_text(run.environment, json.dumps(environment, indent=2) + "\n")
    run.checkpoints.mkdir()
    run.events.touch()
    run.reserve.write_bytes(b"\0" * RESERVE_BYTES)
    if ticket is not None:
        run.write_ticket(ticket)


def _undo(staging: Path | None, created: list[Path]) -> None:
    if staging is not None:
        shutil.rmtree(staging, ignore_errors=True)
    for folder in created:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
