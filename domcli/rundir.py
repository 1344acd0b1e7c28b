"""The one owner of every path in a run directory. Files are written aside, then renamed: no reader sees half of one."""

from __future__ import annotations

import contextlib
import difflib
import fnmatch
import json
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
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


def find(runs_dir: Path, wanted: str) -> RunDirectory:
    """Return the run with this name, this unambiguous beginning of a name, or this path.

    Raises RunDirectoryError naming what is there when nothing, or more than one run, fits.
    """
    return _find(runs_dir, wanted, None, "give more of the name")


def select(runs_dir: Path, patterns: Sequence[str]) -> list[RunDirectory]:
    """Return the runs that are meant, in the order of the patterns and each once.

    A pattern is what `find` takes, or a glob such as `pgd-*` for all runs whose names fit it. Raises RunDirectoryError
    for a pattern that nothing fits, and for a beginning that several names have.
    """
    runs = list_runs(runs_dir)
    chosen: dict[Path, RunDirectory] = {}
    for pattern in patterns:
        if _is_glob(pattern) and not any(run.name == pattern for run in runs):
            meant = _fitting(runs_dir, pattern, runs)
        else:
            meant = [_find(runs_dir, pattern, runs, f"give more of the name, or {pattern + '*'!r} for all of them")]
        for run in meant:
            chosen.setdefault(_located(run.path), run)
    return list(chosen.values())


def list_runs(runs_dir: Path) -> list[RunDirectory]:
    """Return the runs of a folder, oldest first; other folders are left out, and so is what is not complete yet."""
    return sorted(_folders(runs_dir), key=lambda run: (_created(run), run.name))


def with_tickets(runs_dir: Path) -> list[RunDirectory]:
    """Return the runs in whose directory a ticket lies. Asked several times a second, among hundreds of runs."""
    name = RunDirectory(runs_dir).ticket.name
    try:
        with os.scandir(runs_dir) as entries:
            found = [entry.path for entry in entries if entry.name[0] != "." and os.path.exists(f"{entry.path}/{name}")]  # noqa: PTH110
    except OSError:
        return []
    return [RunDirectory(Path(path)) for path in found]


def queue_places(runs_dir: Path) -> dict[str, int]:
    """Return the place in the queue, from 1, of each run that waits, by name: every user of a machine has a queue."""
    found = [(run.name, run.waiting_ticket()) for run in with_tickets(runs_dir)]
    waiting = [(name, ticket) for name, ticket in found if ticket is not None]
    places: dict[str, int] = {}
    lengths: dict[tuple[str, int], int] = {}
    for name, ticket in sorted(waiting, key=lambda entry: entry[1].order):
        queue = (ticket.host, ticket.owner)
        places[name] = lengths[queue] = lengths.get(queue, 0) + 1
    return places


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


def _find(runs_dir: Path, wanted: str, runs: list[RunDirectory] | None, advice: str) -> RunDirectory:
    """Find a run (see `find`), among `runs` if they have been listed already; `advice` is for when several fit."""
    if not wanted:
        raise RunDirectoryError("the name of the run is empty: give a name, the beginning of one, or a path")
    direct = Path(wanted)
    if _is_file(direct / "settings.toml") and (os.sep in wanted or not (runs_dir / wanted).is_dir()):
        return RunDirectory(_located(direct))
    runs = list_runs(runs_dir) if runs is None else runs
    matches = [run for run in runs if run.name == wanted] or [run for run in runs if run.name.startswith(wanted)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise RunDirectoryError(f"{wanted!r} fits several runs: {_some(matches)}; {advice}")
    nearest = difflib.get_close_matches(wanted, [run.name for run in runs], 3, 0.6)
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else _known(runs)
    if _is_glob(wanted):
        hint = "a single run is wanted here, by its name, the beginning of one, or a path"
    raise RunDirectoryError(f"no run named {wanted!r} in {runs_dir}; {hint}")


def _fitting(runs_dir: Path, glob: str, runs: list[RunDirectory]) -> list[RunDirectory]:
    """Return the runs that a glob means; with a folder in front, which no shell has expanded, those of that folder."""
    folder, slash, names = glob.rstrip(os.sep).rpartition(os.sep)
    if slash:
        runs_dir, runs = Path(folder or os.sep), list_runs(Path(folder or os.sep))
    fitting = [run for run in runs if fnmatch.fnmatchcase(run.name, names)]
    if not fitting:
        raise RunDirectoryError(f"no run in {runs_dir} fits {glob!r}; {_known(runs)}")
    return fitting


def _is_glob(pattern: str) -> bool:
    return any(character in pattern for character in "*?[")


def _located(path: Path) -> Path:
    """Return where a directory lies, which for a link is where the link lies."""
    return path.parent.resolve() / path.name if path.name not in ("", "..") else path.resolve()


def _folders(runs_dir: Path) -> Iterator[RunDirectory]:
    try:
        with os.scandir(runs_dir) as entries:
            for entry in entries:
                run = RunDirectory(Path(entry.path))
                if not entry.name.startswith(".") and (_is_file(run.settings) or _is_file(run.events)):
                    yield run
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunDirectoryError(f"cannot list {runs_dir}: {_reason(error)}") from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, a folder that may not be entered
        return False


def _created(run: RunDirectory) -> float:
    with contextlib.suppress(OSError):
        return run.settings.stat().st_mtime
    return 0.0


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


def _known(runs: list[RunDirectory]) -> str:
    return f"it has {_some(runs)}" if runs else "there are no runs"


def _some(runs: list[RunDirectory], most: int = 5) -> str:
    names = ", ".join(run.name for run in runs[:most])
    return f"{names} and {len(runs) - most} more" if len(runs) > most else names


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
