"""What a list shows of a run, kept by its trainer beside the stream, so that a list need not read all of it.

brief.json says what the stream held up to a byte; what was appended since is read as usual. It is only a shortcut: a
run without it, or whose settings or stream have changed since, is read from the beginning.
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import Any

import msgspec

from domcli import files
from domcli.bounds import Count
from domcli.errors import DomcliError
from domcli.events import AnyEvent, EpochEnd, Failed, Finished, Stopped
from domcli.files import replace_text
from domcli.overfitting import Finding, context_of, watch
from domcli.rundir import UNREADABLE, RunDirectory
from domcli.runstate import RunState, fold
from domcli.stream import EventReader, EventWriter

BRIEF = 3
"""Version of the file; a file of another version is not used."""
TAIL_BYTES = 4096
"""How much of the stream is looked at again, before the byte up to which the brief tells of it."""


class Brief(msgspec.Struct, frozen=True, kw_only=True):
    """The condensed state after the first `offset` bytes (`lines` lines) of the stream, and what never changes."""

    version: int = BRIEF
    offset: Count
    lines: Count
    basis: str
    """Of what it was made (see `basis_of`)."""
    state: RunState
    findings: tuple[Finding, ...]
    """What the overfitting watch said of all epochs."""
    settings: dict[str, Any]
    preset: str | None


class BriefWriter(EventWriter):
    """The stream of a run, of whose trainer keeps brief.json up to date at the end of every epoch and of the run."""

    def __init__(self, run: RunDirectory) -> None:
        super().__init__(run.events)
        self._run = run
        reader = EventReader(run.events, skim=True)
        self._state = RunState()
        with contextlib.suppress(DomcliError):
            self._state = fold(reader.read())
        self._lines = reader.line

    def write(self, event: AnyEvent) -> AnyEvent:
        """Append the event (see EventWriter)."""
        written = super().write(event)
        self._state = fold([written], self._state)
        self._lines += 1
        if isinstance(written, EpochEnd | Finished | Failed | Stopped):
            # It can be told from the stream at any time: a disk that is full is no reason to fail.
            with contextlib.suppress(OSError, DomcliError):
                self._keep()
        return written

    def _keep(self) -> None:
        preset = self._run.read_environment().get("preset")
        settings = self._run.read_settings()
        brief = Brief(
            offset=self.size,
            lines=self._lines,
            basis=basis_of(self._run, self.size),
            state=self._state.condensed(),
            findings=watch(self._state.epochs, context_of(settings, self._state.started)),
            settings=settings,
            preset=preset if isinstance(preset, str) else None,
        )
        replace_text(self._run.brief, msgspec.json.encode(brief).decode() + "\n", durable=False)


def read_brief(run: RunDirectory) -> Brief | None:
    """Return what the trainer kept; None if it kept nothing, or it does not fit the stream."""
    try:
        brief = msgspec.json.decode(files.read_bytes(run.brief, files.LARGE), type=Brief)
        return brief if brief.version == BRIEF and brief.basis == basis_of(run, brief.offset) else None
    except UNREADABLE:
        return None


def basis_of(run: RunDirectory, offset: int) -> str:
    """Return a digest of settings.toml and of the end of what the stream holds up to a byte. Raises OSError."""
    digest = hashlib.blake2b(files.read_bytes(run.settings), digest_size=16)
    begin = max(0, offset - TAIL_BYTES)
    with files.open_bytes(run.events) as stream:
        stream.seek(begin)
        digest.update(stream.read(offset - begin))
    return digest.hexdigest()
