"""`domcli logs`: what a trainer wrote on stdout and stderr."""

from __future__ import annotations

import codecs
import contextlib
import io
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from domcli import files
from domcli.cli import options, output
from domcli.errors import RunDirectoryError

if TYPE_CHECKING:
    from domcli.runs import Run

POLL_SECONDS = 0.3
BLOCK_BYTES = 1 << 16


def logs(
    run: options.RunName,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the trainer has ended.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="How many of the last lines to show.")] = 50,
    runs_dir: options.RunsDir = None,
) -> None:
    """Show the end of a run's log."""
    from domcli.cli.selection import wake_queue
    from domcli.runs import RunReader

    directory = options.find_run(run, runs_dir)
    wake_queue(directory.path.parent)
    reader = RunReader(directory, brief=True)
    if not directory.log.exists():
        output.note(f"{directory.name} has no log yet: {_why_none(reader.read())}")
        if not follow:
            return
    printer = _Printer(directory.log, _start_of_last(directory.log, lines))
    while True:
        # Asked before the log is read, so that the last words of the trainer are not missed.
        alive = reader.read().status in ("queued", "starting", "running")
        goes_on = follow and alive
        printer.write(last=not goes_on)
        if not goes_on:
            return
        time.sleep(POLL_SECONDS)


def _why_none(run: Run) -> str:
    from domcli.cli.summary import queue_text

    return f"it waits at {queue_text(run)}" if run.status == "queued" else "its trainer has not been launched"


def _start_of_last(path: Path, lines: int) -> int:
    """Return the byte at which the last `lines` lines begin, reading backwards from the end."""
    with contextlib.suppress(FileNotFoundError), _opened(path) as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 1))
        position, ends = size, -1 if file.read(1) == b"\n" else 0
        if lines == 0:
            return size
        while position > 0:
            start = max(0, position - BLOCK_BYTES)
            file.seek(start)
            block = file.read(position - start)
            at = len(block)
            while (at := block.rfind(b"\n", 0, at)) >= 0:
                ends += 1
                if ends == lines:
                    return start + at + 1
            position = start
    return 0


def _opened(path: Path) -> IO[bytes]:
    """Open a log. Raises FileNotFoundError, or RunDirectoryError for one that cannot be read."""
    try:
        return files.open_bytes(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RunDirectoryError(f"cannot read {path}: {error.strerror}") from error


class _Printer:
    """Writes what a log holds from a byte on to stdout, each time what has been added since."""

    def __init__(self, path: Path, offset: int) -> None:
        self._path = path
        self._offset = offset
        # A letter may come in two parts, as may the end of a line. A line that was drawn over is shown each time.
        letters = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
        self._decoder = io.IncrementalNewlineDecoder(letters, translate=True)

    def write(self, *, last: bool) -> None:
        """Write what is new; the `last` time even half a letter at the end."""
        with contextlib.suppress(FileNotFoundError), _opened(self._path) as file:
            file.seek(self._offset)
            while block := file.read(BLOCK_BYTES):
                self._offset += len(block)
                self._write(self._decoder.decode(block))
        if last:
            self._write(self._decoder.decode(b"", final=True))

    def _write(self, text: str) -> None:
        if text:
            output.text(text)
