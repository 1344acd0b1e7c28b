"""The dashboard is left while something that it has begun is still on its way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from test_dashboard_pictures import empty, folder

from domcli.dashboard.app import DomcliApp
from domcli.dashboard.messages import SnapshotRead, SystemRead
from domcli.dashboard.model import System
from domcli.dashboard.screens.main import MainScreen
from domcli.dashboard.widgets.header import HeaderLine
from domcli.dashboard.widgets.run_list import RunList


@pytest.mark.parametrize("late", ["charts", "timer", "snapshot", "system"])
def test_what_comes_when_the_list_is_gone_already_is_let_go(late: str, tmp_path: Path) -> None:
    async def leave() -> None:
        app = DomcliApp(empty())
        async with app.run_test() as pilot:
            await pilot.pause()
            screen = app.screen
            assert isinstance(screen, MainScreen)
            app.exit()
            await screen.query_one(RunList).remove()
            await screen.query_one(HeaderLine).remove()
            if late == "charts":
                await screen._open_charts()
            elif late == "timer":
                screen._follow()
            elif late == "snapshot":
                screen._read(SnapshotRead(screen.snapshot))
            else:
                screen._system(SystemRead(System()))

    with folder(tmp_path):
        asyncio.run(leave())
