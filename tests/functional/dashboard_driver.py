"""Drives the dashboard: opens it on the runs of a folder, presses keys, and reads what stands on the screen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from textual.pilot import Pilot

from domcli.dashboard.app import DomcliApp
from domcli.dashboard.screens.main import MainScreen
from domcli.dashboard.source import DirectorySource, RunSource
from domcli.dashboard.widgets.charts import ChartGrid
from domcli.dashboard.widgets.run_list import RunList
from domcli.dashboard.widgets.text_view import TextView

PATIENCE = 60.0
LARGE = (160, 45)


class Driver:
    """An open dashboard."""

    def __init__(self, app: DomcliApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def main(self) -> MainScreen:
        screen = self.app.screen_stack[0]
        assert isinstance(screen, MainScreen)
        return screen

    @property
    def list(self) -> RunList:
        return self.main.query_one(RunList)

    @property
    def names(self) -> list[str]:
        """The keys of the rows, from top to bottom."""
        return [row.key for row in self.list.rows]

    @property
    def under_cursor(self) -> str:
        row = self.list.row
        return row.key if row is not None else ""

    def lines(self) -> list[str]:
        """What stands on the screen, line by line."""
        width, height = self.app.size
        strips = self.app.screen._compositor.render_strips(self.app.size)
        assert len(strips) == height
        return ["".join(segment.text for segment in strip)[:width] for strip in strips]

    def text(self) -> str:
        return "\n".join(self.lines())

    def line(self, name: str) -> str:
        """The line of a run in the list."""
        region = self.list.region
        return next(line for line in (one[region.x : region.right] for one in self.lines()) if name in line)

    @property
    def notes(self) -> list[str]:
        """The notifications that are shown."""
        return [note.message for note in self.app._notifications]

    def detail(self) -> str:
        return self.main.query_one(TextView).content.plain

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        await self.press(*({" ": "space", "-": "minus", ",": "comma", ".": "full_stop"}.get(one, one) for one in text))

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds, and fail if it never does."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"the condition did not come true; the screen says\n{self.text()}"
            await asyncio.sleep(0.02)
        await self.pilot.pause()

    async def until_status(self, name: str, *statuses: str) -> None:
        await self.until(
            lambda: any(one.name == name and one.run.status in statuses for one in self.main.snapshot.runs)
        )


def drive(
    act: Callable[[Driver], Awaitable[None]],
    source: RunSource | None = None,
    size: tuple[int, int] = LARGE,
    *,
    toasts: bool = False,
) -> None:
    """Open the dashboard on ./runs (or another source), wait for its first look and the charts, and act.

    `toasts` shows notifications on the screen, too.
    """

    async def session() -> None:
        app = DomcliApp(source or DirectorySource(Path("runs")))
        async with app.run_test(size=size, notifications=toasts) as pilot:
            driver = Driver(app, pilot)
            await driver.until(lambda: not driver.main.snapshot.unread and driver.main.query(ChartGrid))
            await act(driver)

    asyncio.run(session())
