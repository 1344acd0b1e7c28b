"""The one owner of every path in a run directory. Files are written aside, then renamed: no reader sees half of one.

Several users may share a runs directory. A run belongs to the owner of its directory: what says which process trains
it, and what it waits for, counts only if it belongs to the same user.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import msgspec
import tomli_w

from domcli import documents, files, owners, toml
from domcli.catalogue.references import FOLDER
from domcli.errors import RunDirectoryError, StorageError
from domcli.files import replace_text
from domcli.printable import quoted
from domcli.process import ProcessIdentity
from domcli.ticket import Ticket

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]{0,199}")
OWN = (
    *("settings", "environment", "computation", "process", "ticket", "lock", "events", "brief", "log", "reserve"),
    *("checkpoints", "memorization", "evaluations", "extensions"),
)
"""The properties of a run directory that are files and folders of its own."""
RESERVE_BYTES = 64 * 1024
NO_FILES: Mapping[str, bytes] = MappingProxyType({})
UNREADABLE = (OSError, ValueError, RecursionError, OverflowError, msgspec.DecodeError)
"""What reading a file raises that is damaged, or is not what its name says."""


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
    def computation(self) -> Path:
        """How the run computes, decided at its first start: a resume does the same."""
        return self.path / "computation.json"

    @property
    def extensions(self) -> Path:
        """Copies of the files with which the run's settings extend the catalogue."""
        return self.path / FOLDER

    def extension(self, name: str) -> Path:
        """Return the copy of one of them."""
        return self.extensions / name

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

    def keep_reserve(self) -> None:
        """Set the space aside that is given up on a full disk. Raises OSError."""
        handle = files.open_own(self.reserve, os.O_WRONLY)
        with os.fdopen(handle, "wb") as file:
            if os.fstat(handle).st_size == 0:
                file.write(b"\0" * RESERVE_BYTES)

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

    @property
    def own(self) -> tuple[Path, ...]:
        """Every file and folder of the run itself: nothing else may be written there."""
        return tuple(path for path in (getattr(self, name) for name in OWN) if isinstance(path, Path))

    def checkpoint(self, label: str) -> Path:
        """Return the file of a checkpoint: `best`, `last` or `epoch-0010`."""
        return self.checkpoints / f"{label}.safetensors"

    def owner(self) -> int:
        """Return the user id of whom the run belongs to: of another user's link, theirs, wherever it leads.

        Raises OSError if there is no such directory.
        """
        found = self.path.lstat()
        return self.path.stat().st_uid if owners.is_own(found, self.path.parent) else found.st_uid

    def is_own(self) -> bool:
        """Tell whether the run belongs to the user of this process."""
        try:
            link = owners.is_own(self.path.lstat(), self.path.parent)
            return link and owners.is_own(self.path.stat(), self.path)
        except OSError:
            return False

    def require_own(self, action: str) -> None:
        """Raise RunDirectoryError if the run belongs to another user; `action` is what only they can do with it."""
        if self.path.exists() and not self.is_own():
            owner = owners.user_name(self.owner())
            raise RunDirectoryError(
                f"{self.name} belongs to {owner}: only {owner} can {action} it; a copy of it is yours (cp -r)"
            )

    @contextlib.contextmanager
    def pinned(self, action: str) -> Iterator[int]:
        """Hold on to the run's folder while it is worked in (see `files.pinned`) and yield its descriptor.

        Raises RunDirectoryError if the run belongs to another user, who alone may do this `action`; StorageError.
        """
        self.require_own(action)
        with contextlib.ExitStack() as stack:
            try:
                handle = stack.enter_context(files.pinned(self.path))
            except OSError as error:
                raise StorageError(f"cannot write in {self.path}: {error.strerror}") from error
            yield handle

    def require_untouched(self) -> None:
        """Raise RunDirectoryError if a file by which the run is trained belongs to another user than the run."""
        owner = self.owner()
        told = (self.settings, self.environment, self.computation, self.process, self.ticket)
        for path in (*told, self.checkpoints, self.extensions, self.events, self.log, self.lock, self.reserve):
            with contextlib.suppress(FileNotFoundError):
                found = path.lstat()
                if found.st_uid != owner or stat.S_ISLNK(found.st_mode):
                    whose = (
                        "is a link" if stat.S_ISLNK(found.st_mode) else f"belongs to {owners.user_name(found.st_uid)}"
                    )
                    raise RunDirectoryError(
                        f"{path} {whose}, and the run to {owners.user_name(owner)}: "
                        "nothing is trained by what somebody else may have written"
                    )

    def read_settings(self) -> dict[str, Any]:
        """Return the tables of settings.toml. Raises RunDirectoryError if the file is missing or damaged."""
        try:
            return toml.tables_of(files.read_text(self.settings))
        except UNREADABLE as error:
            raise RunDirectoryError(f"cannot read {self.settings}: {reason_of(error)}") from error

    def read_environment(self) -> dict[str, Any]:
        """Return environment.json, empty if it is missing or damaged; what has not the type that it must is left out.

        A resume goes by it: by how the run was computed so far, as threads, kernels and plain steps.
        """
        try:
            content = msgspec.json.decode(files.read_bytes(self.environment))
            toml.refuse_deep(content)
        except UNREADABLE:
            return {}
        return documents.environment(content)

    def update_environment(self, entries: dict[str, Any]) -> None:
        """Merge entries into environment.json."""
        merged = {**self.read_environment(), **entries}
        replace_text(self.environment, json.dumps(merged, indent=2) + "\n")

    def read_process(self) -> ProcessIdentity | None:
        """Return the trainer launched last; None if none was, the file is damaged, or this is a copy of its run.

        It counts only if it belongs to the owner of the run.
        """
        try:
            content, _ = self._read_owned(self.process)
            identity = msgspec.json.decode(content, type=ProcessIdentity)
            return identity if identity.directory in (0, self.path.stat().st_ino) else None
        except UNREADABLE:
            return None

    def read_ticket(self) -> Ticket | None:
        """Return the ticket that lies here; None if there is none, it is damaged, or this is a copy of its run.

        It counts only if ticket, directory and the user it names are one: nobody trains in somebody else's name.
        """
        try:
            content, owner = self._read_owned(self.ticket)
            ticket = msgspec.json.decode(content, type=Ticket)
            named = ticket.owner == owner or (ticket.owner == os.geteuid() and self.is_own())
            return ticket if named and ticket.directory == self.path.stat().st_ino else None
        except UNREADABLE:
            return None

    def _read_owned(self, path: Path) -> tuple[bytes, int]:
        """Return what is in a file and whom it belongs to. Raises OSError if it is not the run's owner, or a link."""
        owner = self.owner()
        with files.open_bytes(path, through_links=False) as file:
            found = os.fstat(file.fileno())
            if found.st_uid != owner or not owners.is_guarded(found, self.path):
                raise PermissionError(f"{path} may not have been written by the owner of the run")
            return files.read_rest(file, path), owner

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
        replace_text(self.ticket, msgspec.json.format(msgspec.json.encode(ticket)).decode() + "\n", guarded=True)

    def write_process(self, identity: ProcessIdentity) -> None:
        """Say which process is at work on this directory."""
        identity = msgspec.structs.replace(identity, directory=self.path.stat().st_ino)
        replace_text(self.process, msgspec.json.format(msgspec.json.encode(identity)).decode() + "\n", guarded=True)


def kept_by(path: Path) -> RunDirectory | None:
    """Return the run to which a place belongs, by what it is called or by where links lead, as a file of its own."""
    called = path.absolute() if ".." not in path.parts else path.parent.resolve() / path.name
    for way in (called, Path(os.path.realpath(path))):
        for place in (way, *way.parents):
            run = RunDirectory(place.parent)
            if place in run.own and (files.is_regular(run.settings) or files.is_regular(run.events)):
                return RunDirectory(run.path.resolve())
    return None


def create(
    runs_dir: Path,
    name: str,
    settings: dict[str, Any],
    environment: dict[str, Any],
    ticket: Ticket | None = None,
    extensions: Mapping[str, bytes] = NO_FILES,
) -> RunDirectory:
    """Create a complete run directory under an unused name, with a place in the queue if it is given one.

    `extensions` are the files with which the settings extend the catalogue, by name.

    It is built aside and renamed, so it is whole or not there; all of it in the folder that was made for it, whatever
    somebody else who may write in `runs_dir` puts in its place. Raises RunDirectoryError for a name that is taken or
    not allowed, StorageError when nothing can be written there.
    """
    require_unused(runs_dir, name)
    target = runs_dir / name
    created = [folder for folder in (runs_dir, *runs_dir.parents) if not os.path.lexists(folder)]
    staging = runs_dir / f"{owners.ASIDE}{secrets.token_hex(8)}"
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        files.clear_leftovers(runs_dir)
        with files.new_folder(staging) as handle:
            _fill(RunDirectory(staging), settings, environment, ticket, extensions)
            staging.rename(target)
            if not os.path.samestat(target.lstat(), os.fstat(handle)):
                raise StorageError(f"cannot create a run in {runs_dir}: somebody has put something else in its place")
    except BaseException as error:
        for folder in created:
            with contextlib.suppress(OSError):
                folder.rmdir()
        if not isinstance(error, OSError):
            raise
        if os.path.lexists(target):
            raise RunDirectoryError(
                f"a run named {quoted(name)} exists in {runs_dir}; choose another --name"
            ) from error
        raise StorageError(
            f"cannot create a run in {runs_dir}: {reason_of(error)}; choose another --runs-dir"
        ) from error
    return RunDirectory(target)


def require_unused(runs_dir: Path, name: str) -> None:
    """Raise RunDirectoryError for a name that is not allowed or taken."""
    if not NAME.fullmatch(name):
        raise RunDirectoryError(
            f"{quoted(name)} is not a run name: use up to 200 letters, digits and . _ + = -, beginning with a "
            "letter or digit"
        )
    if os.path.lexists(runs_dir / name):
        raise RunDirectoryError(
            f"a run named {quoted(name)} exists in {runs_dir}; choose another --name, or delete that run"
        )


def unused_name(runs_dir: Path, wanted: str, taken: Collection[str] = ()) -> str:
    """Return the wanted name, or the first of `wanted-2`, `wanted-3`, ... that no run has and that is not `taken`."""
    name, number = wanted, 1
    while name in taken or os.path.lexists(runs_dir / name):
        number += 1
        name = f"{wanted}-{number}"
    return name


def _fill(
    run: RunDirectory,
    settings: dict[str, Any],
    environment: dict[str, Any],
    ticket: Ticket | None,
    extensions: Mapping[str, bytes],
) -> None:
    replace_text(run.settings, tomli_w.dumps(settings), guarded=bool(extensions))  # it says which code is run
    replace_text(run.environment, json.dumps(environment, indent=2) + "\n")
    files.make_folder(run.checkpoints)
    if extensions:
        files.make_folder(run.extensions)
        run.extensions.chmod(0o755)
    for name, content in extensions.items():
        files.replace(run.extension(name), partial(_write, content), guarded=True)
    os.close(files.open_own(run.events, os.O_WRONLY))
    run.keep_reserve()
    if ticket is not None:
        run.write_ticket(ticket)


def _write(content: bytes, file: IO[bytes]) -> None:
    file.write(content)


def reason_of(error: Exception) -> str:
    """Return what an error says, without what Python adds."""
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
