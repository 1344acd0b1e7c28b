"""How far an evaluation is: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from domcli.cli import figures, output
from domcli.plural import counted

if TYPE_CHECKING:
    from domcli.evaluations import Progress

LAST_STAGES = ("pgd", "square")
"""Attacks that none comes after."""
LINE_SECONDS = 60.0
"""Between two lines about the same stage, where there is no terminal."""


class EvaluationView(AbstractContextManager["EvaluationView"], Protocol):
    """Shows the progress of an evaluation."""

    def update(self, progress: Progress) -> None:
        """Show how far it is."""

    def say(self, text: str) -> None:
        """Tell the person something."""


def make_view() -> EvaluationView:
    """Return a bar if stderr is a terminal that can show it, else plain lines."""
    if output.can_draw(sys.stderr):
        return LiveBar()
    return PlainLines()


class PlainLines:
    """A line at the end of each stage, and one a minute."""

    def __init__(self) -> None:
        self._next = time.monotonic() + LINE_SECONDS

    def __enter__(self) -> PlainLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def update(self, progress: Progress) -> None:
        """Write a line if one is due."""
        if progress.done == progress.images:
            output.note(f"{progress.stage}: {_left(progress)}")
        elif time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_SECONDS
            output.note(f"{progress.stage}: {_where(progress)}, {_left(progress)}, {_eta(progress)}")

    def say(self, text: str) -> None:
        """Write a line of its own."""
        output.note(text)


class LiveBar:
    """One bar for the whole evaluation, which goes when it ends."""

    def __init__(self) -> None:
        from rich.live import Live

        self._live = Live(console=output.console(sys.stderr), auto_refresh=False, transient=True, redirect_stdout=False)

    def __enter__(self) -> LiveBar:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def update(self, progress: Progress) -> None:
        """Redraw the bar."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        bars = Table.grid(padding=(0, 1), expand=True)
        bars.add_column(no_wrap=True)
        bars.add_column(ratio=1)
        for _ in range(3):
            bars.add_column(no_wrap=True, justify="right")
        bar = ProgressBar(total=1.0, completed=progress.fraction)
        bars.add_row(progress.stage, bar, _where(progress), _left(progress), _eta(progress))
        self._live.update(bars, refresh=True)

    def say(self, text: str) -> None:
        """Write a line above the bar."""
        self._live.console.print(text)


def _where(progress: Progress) -> str:
    return f"{progress.done:,}/{counted(progress.images, 'image')}"


def _left(progress: Progress) -> str:
    return f"{figures.percent(progress.correct / progress.total)} % still correct"


def _eta(progress: Progress) -> str:
    """Return when it is done; before the last attack that is a bound, for who is fooled is not attacked any further."""
    if progress.remaining is None:
        return "ETA later"
    bound = "" if progress.stage in LAST_STAGES else "at most "
    return f"ETA {bound}{figures.duration(progress.remaining)}"
