"""What the panel about one run needs from its directory, read when it changes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from domcli import files
from domcli.compare.groups import shown_value
from domcli.compare.records import flatten
from domcli.dashboard.model import Changed, Detail
from domcli.errors import DomcliError
from domcli.printable import printable_line
from domcli.runs import Run

LOG_BYTES = 1 << 16
LOG_LINES = 400


def read_detail(run: Run, known: Detail | None) -> Detail:
    """Return the detail of a run; what cannot have changed is taken from the last one, if that is of this run."""
    directory = run.directory
    if known is None or known.name != directory.name:
        environment = directory.read_environment()
        known = Detail(directory.name, environment, changed=_changed(run, bool(environment.get("quick"))))
    stamp = _stamp(directory.log)
    log = known.log if stamp == known.log_stamp else tail(directory.log)
    found = replace(known, log=log, log_stamp=stamp, checkpoints=_checkpoints(directory.checkpoints))
    return known if found == known else found


def tail(path: Path, lines: int = LOG_LINES, most: int = LOG_BYTES) -> tuple[str, ...]:
    """Return the last lines of a text file, at most so many bytes of it; none if it is not there.

    Of what a line wrote over itself (progress bars), the last is left.
    """
    try:
        content, is_cut = files.read_tail(path, most)
    except OSError:
        return ()
    found = content.decode(errors="surrogateescape").split("\n")
    if is_cut:
        found = found[1:]
    if found and not found[-1]:
        found.pop()
    return tuple(_printable(line) for line in found[-lines:])


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _printable(line: str) -> str:
    last = line.rstrip("\r").rpartition("\r")[2].expandtabs()
    return printable_line(last)


def _changed(run: Run, quick: bool) -> tuple[Changed, ...] | None:
    """Return what differs from the preset as written, marked where `--quick` set it; None without such a preset."""
    if run.preset is None or not run.settings:
        return None
    from domcli import presets
    from domcli.settings import unwritten  # takes long to load

    try:
        published: dict[str, Any] = flatten(presets.resolve(run.preset).complete())
        shrunk = flatten(presets.resolve(run.preset, quick=True).complete()) if quick else published
    except DomcliError:
        return None
    own = {**unwritten(), **flatten(run.settings)}
    keys = [key for key in dict.fromkeys((*published, *own)) if key != "train.seed"]
    return tuple(
        Changed(key, (shown_value(own.get(key)), shown_value(published.get(key))), own.get(key) == shrunk.get(key))
        for key in keys
        if own.get(key) != published.get(key)
    )


def _checkpoints(folder: Path) -> tuple[tuple[str, int], ...]:
    try:
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.stat().st_size) for entry in entries if not entry.name.startswith(".")]
    except OSError:
        return ()
    return tuple(sorted(found))
