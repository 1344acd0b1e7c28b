"""How far a benchmark is: a bar in a terminal, a line for every case elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol

from domcli.cli import figures, output


class View(AbstractContextManager["View"], Protocol):
    """Shows the progress of a benchmark."""

    def update(self, progress: Mapping[str, Any]) -> None:
        """Show how far it is: `case`, what it is `doing`, `fraction` from 0 to 1, `remaining` seconds or None."""

    def say(self, text: str) -> None:
        """Tell the person something."""


def make_view() -> View:
    """Return a bar if stderr is a terminal that can show it, else plain lines."""
    if output.can_draw(sys.stderr):
        return LiveBar()
    return PlainLines()


class PlainLines:
    """A line at the beginning of each case."""

    def __init__(self) -> None:
        self._case = ""

    def __enter__(self) -> PlainLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def update(self, progress: Mapping[str, Any]) -> None:
        """Write a line if another case has begun."""
        if progress["case"] != self._case:
            self._case = progress["case"]
            output.note(f"measuring {self._case}, {_left(progress)}")

    def say(self, text: str) -> None:
        """Write a line of its own."""
        output.note(text)


class LiveBar:
    """One bar for the whole benchmark, drawn when something is told, since the cores are being measured."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("{task.fields[case]}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[doing]}", markup=False),
            TextColumn("{task.fields[left]}", justify="right"),
            console=output.console(sys.stderr),
            transient=True,
            auto_refresh=False,
            redirect_stdout=False,
            expand=True,
        )
        self._task = self._progress.add_task("", total=1.0, case="", doing="", left="")

    def __enter__(self) -> LiveBar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(self, progress: Mapping[str, Any]) -> None:
        """Redraw the bar."""
        self._progress.update(
            self._task,
            completed=progress["fraction"],
            case=progress["case"],
            doing=progress["doing"],
            left=_left(progress),
            refresh=True,
        )

    def say(self, text: str) -> None:
        """Write a line above the bar."""
        self._progress.console.print(text)


def _left(progress: Mapping[str, Any]) -> str:
    remaining = progress["remaining"]
    return "ETA later" if remaining is None else f"ETA {figures.duration(remaining)}"
