"""`domcli runs --watch`: the list, drawn anew every second until a key or Ctrl-C ends it."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from pathlib import Path

from rich.live import Live
from rich.text import Text

from domcli import finding
from domcli.cli import output
from domcli.cli.runs_table import Segments, Terminal, as_text, table_lines
from domcli.cli.runs_view import View, footer
from domcli.cli.selection import SelectionError, directories, wake_queue
from domcli.errors import DomcliError
from domcli.rundir import RunDirectory
from domcli.runs import Run, RunReader

DRAW_SECONDS = 1.0
WAKE_SECONDS = 5.0
KEYS = "q leave"
SCROLL_KEYS = "q leave   arrows, page up and down scroll"
LINES = {b"\x1b[A": -1, b"k": -1, b"\x1b[B": 1, b"j": 1}
PAGES = {b"\x1b[5~": -1, b"\x1b[6~": 1, b" ": 1}
ENDS = {b"g": -sys.maxsize, b"\x1b[H": -sys.maxsize, b"G": sys.maxsize, b"\x1b[F": sys.maxsize}


class Readers:
    """Follows the runs of a view: those that stay are read on from where they were."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._readers: dict[tuple[Path, int], RunReader] = {}

    def read(self) -> list[Run]:
        """Return the runs that are there now; a name that no run has (any more) is no error."""
        readers: dict[tuple[Path, int], RunReader] = {}
        for run in self._there():
            with contextlib.suppress(OSError):  # it may have gone in this moment
                # Another run may have been made under the same name.
                key = (run.path, run.path.stat().st_ino)
                readers[key] = self._readers.get(key) or RunReader(run, brief=True)
        self._readers = readers
        return [reader.read() for reader in readers.values()]

    def _there(self) -> list[RunDirectory]:
        if not self._view.names:
            return directories((), self._view.runs_dir)
        found: dict[Path, RunDirectory] = {}
        for name in self._view.names:
            with contextlib.suppress(DomcliError):
                found.update({run.path: run for run in directories([name], self._view.runs_dir)})
        return list(found.values())


class Screen:
    """What is drawn: a header, the runs that fit, from some line on, and a footer."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._top = 0
        self._page = 1

    def draw(self, runs: list[Run], width: int, height: int) -> Text:
        """Return the whole screen."""
        places = finding.queue_places(self._view.runs_dir)
        shown = self._view.arrange(runs, places)
        header, *body = table_lines(shown, Terminal(width), places) if shown else [[("no runs to show", "dim")]]
        self._page = max(1, height - 3)
        self._top = max(0, min(self._top, len(body) - self._page))
        visible = body[self._top : self._top + self._page]
        blank: list[Segments] = [[] for _ in range(self._page - len(visible))]
        text = footer(shown, places, whole=self._view.whole)
        keys = SCROLL_KEYS if len(body) > self._page else KEYS
        closing: list[Segments] = [[(text[:width], "")], [(keys[:width], "dim")]]
        return as_text([header, *visible, *blank, *closing])

    def press(self, keys: bytes) -> None:
        """Scroll."""
        pages = PAGES.get(keys, 0) * self._page
        self._top = max(0, self._top + LINES.get(keys, 0) + pages + ENDS.get(keys, 0))


def watch_runs(view: View) -> None:
    """Show the runs until q or Ctrl-C. Raises SelectionError without a terminal, RunDirectoryError for a wrong name."""
    console = output.console(sys.stdout)
    if not console.is_terminal or console.is_dumb_terminal:
        raise SelectionError("--watch needs a terminal that can be drawn on; use --json for a program, or plain runs")
    directories(view.names, view.runs_dir)
    readers, screen = Readers(view), Screen(view)
    woken = 0.0
    with (
        contextlib.suppress(KeyboardInterrupt),
        _single_keys() as keyboard,
        Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live,
    ):
        while True:
            if time.monotonic() - woken > WAKE_SECONDS:
                wake_queue(view.runs_dir)
                woken = time.monotonic()
            runs = readers.read()
            until = time.monotonic() + DRAW_SECONDS
            keys: bytes | None = b""
            while keys is not None:
                live.update(screen.draw(runs, console.width, console.height), refresh=True)
                keys = _pressed(keyboard, until - time.monotonic())
                if keys in (b"q", b"Q", b"\x1b"):
                    return
                screen.press(keys or b"")


@contextlib.contextmanager
def _single_keys() -> Iterator[int | None]:
    """Let keys come in at once and unseen; yield the terminal they come from, None if there is none."""
    if not sys.stdin.isatty():
        yield None
        return
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        yield keyboard
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _pressed(keyboard: int | None, seconds: float) -> bytes | None:
    """Return the keys that come within some seconds, None if none does."""
    if seconds <= 0:
        return None
    if keyboard is None:
        time.sleep(seconds)
        return None
    ready, _, _ = select.select([keyboard], [], [], seconds)
    return os.read(keyboard, 64) if ready else None
