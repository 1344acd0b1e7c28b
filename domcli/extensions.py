"""Files that people add entries of the catalogue with, named in the settings: `extensions = ["mine.py"]`.

A run has a copy of each in its directory, and its settings name that copy with its SHA-256. The trainer alone imports
it, and only the very bytes that were copied, from a file of the user's own: a run that was made with extensions can be
looked at without running anything. What a file adds are the entries (Network(...), Objective(...), ...) that it has as
variables. Installed packages add entries, too (see catalogue.packages).
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from domcli import files, owners
from domcli.catalogue import KINDS, Entry, Kind
from domcli.catalogue.packages import packaged
from domcli.catalogue.references import FOLDER, MARK, split
from domcli.errors import SettingsError
from domcli.printable import quoted
from domcli.rundir import RunDirectory

MOST = 1 << 20
"""Bytes that an extension may have."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}\.py")
LOADED = "domcli_extension_"
"""How the modules of extensions are called in the trainer."""


def pinned(wanted: object, base: Path, source: str) -> list[str]:
    """Return references to files that are wanted, each with an absolute path and the SHA-256 of now.

    Relative paths begin at `base`; `source` says where they are named. Raises SettingsError for what is no list of
    paths, for a file that cannot be read, and for one that is another than its reference says.
    """
    if not isinstance(wanted, list) or not all(isinstance(one, str) for one in wanted):
        raise SettingsError(f'{source}: extensions must be a list of paths, as in ["mine.py"]')
    found = []
    for reference in wanted:
        path, digest = split(reference)
        file = base / files.at_home(path)
        if not NAME.fullmatch(file.name):
            raise SettingsError(
                f"{source}: the extension {quoted(path)} needs the name of a Python module: letters, digits and _, "
                "and .py at its end"
            )
        content = _content(file, source)
        if digest and hashlib.sha256(content).hexdigest() != digest:
            raise SettingsError(f"{source}: the extension {quoted(path)} is no longer what it was: its SHA-256 differs")
        found.append(f"{file.absolute()}{MARK}{hashlib.sha256(content).hexdigest()}")
    _refuse_twice([Path(split(one)[0]).name for one in found], source)
    return found


def contents(references: Iterable[str]) -> dict[str, bytes]:
    """Return what the files have that a run is made with, by name. Raises SettingsError if one is another by now."""
    found = {}
    for reference in references:
        path, digest = split(reference)
        content = _content(Path(path), path)
        if hashlib.sha256(content).hexdigest() != digest:
            raise SettingsError(f"{path} has changed meanwhile; start the run again")
        found[Path(path).name] = content
    return found


def load(run: RunDirectory) -> None:
    """Add to the catalogue of this process what a run's extensions and the installed packages that it needs have.

    Raises SettingsError for an extension that is not what the run was made with, or not this user's, or fails.
    """
    tables = run.read_settings()
    references = tables.get("extensions", [])
    if not isinstance(references, list) or not all(isinstance(one, str) for one in references):
        raise SettingsError(f"{run.settings}: extensions must be a list of paths")
    if references:
        run.require_untouched()
        _require_guarded(run.settings.lstat(), run.settings)  # which says what the copies are
    for reference in references:
        _add_all(_imported(run, reference), f"the extension {Path(split(reference)[0]).name}")
    for kind in KINDS:
        _add_packaged(kind, tables)


def place_in(error: BaseException) -> str | None:
    """Return where in an extension an error came up, as `mine.py, line 3`; None if it did so elsewhere."""
    found, trace = None, error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if trace.tb_frame.f_globals.get("__name__", "").startswith(LOADED):
            found = f"{Path(code.co_filename).name}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return found


def _imported(run: RunDirectory, reference: str) -> ModuleType:
    path, digest = split(reference)
    name = Path(path).name
    copy = run.extension(name)
    if path != f"{FOLDER}/{name}" or not NAME.fullmatch(name):
        raise SettingsError(f"{run.settings}: the extension {quoted(path)} is no copy of the run's own")
    content = _copied(run, name)
    if hashlib.sha256(content).hexdigest() != digest:
        raise SettingsError(f"{copy} is not what the run was made with: its SHA-256 differs, so it is not run")
    module = ModuleType(f"{LOADED}{copy.stem}")
    module.__file__ = str(copy)
    sys.modules[module.__name__] = module
    try:
        exec(compile(content, str(copy), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        raise SettingsError(f"the extension {name} fails: {_told(error, copy)}") from error
    return module


def _copied(run: RunDirectory, name: str) -> bytes:
    """Return a copy, read in the very folder that was looked at. Raises SettingsError if either may be another's."""
    copy = run.extension(name)
    try:
        folder = os.open(run.extensions, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _require_guarded(os.fstat(folder), run.extensions)
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | files.QUIET, dir_fd=folder)
        finally:
            os.close(folder)
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(file.fileno())
            _require_guarded(found, copy)
            if not stat.S_ISREG(found.st_mode):
                raise SettingsError(f"{copy} is not a file")
            return files.read_rest(file, copy, MOST)
    except OSError as error:
        raise SettingsError(f"cannot read {copy}: {error.strerror or error}") from error


def _require_guarded(found: os.stat_result, path: Path) -> None:
    if not (owners.is_own(found, path.parent) and owners.is_guarded(found, path.parent)):
        raise SettingsError(f"{path} belongs to somebody else, or others may write to it: no extension is run")


def _told(error: BaseException, file: Path) -> str:
    """Return what an error says, and at which line of the extension it came up."""
    own = isinstance(error, SyntaxError) and error.filename == str(file)
    place = f"{file.name}, line {error.lineno}" if own and isinstance(error, SyntaxError) else place_in(error)
    text = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {text}{f' ({place})' if place else ''}"


def _add_all(module: ModuleType, source: str) -> None:
    entries = {id(one): one for one in vars(module).values() if isinstance(one, Entry)}.values()
    own = [one for one in entries if all(one is not known for kind in KINDS for known in kind)]
    if not own:
        raise SettingsError(f"{source} adds nothing: it has no entry such as Network(...) as a variable")
    for one in own:
        kind = next((kind for kind in KINDS if isinstance(one, kind.entry)), None)
        if kind is None:
            raise SettingsError(
                f"{source} has an entry of no kind, {one.name}: use Network(...), Objective(...) or others"
            )
        kind.add(one)


def _add_packaged(kind: Kind[Any], tables: Mapping[str, Any]) -> None:
    """Add what installed packages have of the names in the settings that the catalogue lacks."""
    lacking = [name for name in _named(kind.keys, tables) if kind.get(name) is None]
    if not lacking:
        return
    points = packaged(kind)
    for name in filter(points.__contains__, dict.fromkeys(lacking)):
        try:
            entry = points[name].load()
        except Exception as error:
            raise SettingsError(f"the {kind.title} {name} of {points[name].value} fails: {error}") from error
        if not isinstance(entry, kind.entry) or entry.name != name:
            raise SettingsError(f"{points[name].value} is not a {kind.title} named {name}, as its package says")
        kind.add(entry)


def _named(keys: Sequence[str], tables: Mapping[str, Any]) -> Iterable[str]:
    for key in keys:
        section, _, name = key.partition(".")
        table = tables.get(section)
        value = table.get(name) if isinstance(table, dict) else None
        if isinstance(value, str):
            yield value


def _content(file: Path, source: str) -> bytes:
    try:
        return files.read_bytes(file, MOST)
    except FileNotFoundError as error:
        raise SettingsError(f"{source}: there is no extension {file}") from error
    except OSError as error:
        raise SettingsError(f"{source}: cannot read the extension {file}: {error.strerror or error}") from error


def _refuse_twice(names: Sequence[str], source: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(f"{source}: two extensions are called {name}; rename one")
