"""Cursor, charts, detail and keys mean one and the same run, whatever changes the list."""

from __future__ import annotations

import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import fake_trainer
import made_runs
import msgspec
import pytest
from conftest import CommandLine
from dashboard_driver import Driver, drive
from textual import events

from domcli.dashboard.screens.help import Help
from domcli.dashboard.widgets.charts import ChartGrid
from domcli.events import Finished, encode
from domcli.rundir import RunDirectory

Act = Callable[[Driver], Awaitable[None]]
pytestmark = pytest.mark.usefixtures("cli")


@pytest.fixture
def runs(cli: CommandLine) -> None:
    """Two runs of each of two settings; the one that comes first waits in the queue."""
    for name in ("fgsm-a", "fgsm-b"):
        made_runs.make(name, "finished", preset="fgsm-baseline", epochs=2)
    for name in ("pgd-a", "pgd-b"):
        made_runs.make(name, "finished", of=8, epochs=3)
    made_runs.make("pgd-waiting", "queued", of=8)


async def all_mean(driver: Driver, name: str, row: str = "") -> None:
    """Wait until the cursor is on a run (or on the row of another key), and all else is about it."""
    charts = driver.main.query_one(ChartGrid)

    def of_charts() -> list[str]:
        return [one.run.directory.name for one in charts.viewer.runs]

    await driver.until(lambda: driver.under_cursor == (row or name) and of_charts()[:1] == [name])
    assert row or of_charts() == [name]
    assert str(driver.main.query_one("#detail").border_title) == name
    assert driver.main.under_cursor is not None
    assert driver.main.under_cursor.name == name
    assert driver.main.targets[0].name == name


async def by_filter(driver: Driver) -> None:
    await driver.press("slash")
    await driver.type("fgsm")
    await driver.press("enter")
    await all_mean(driver, "fgsm-b")


async def by_keys_that_come_at_once(driver: Driver) -> None:
    for key in ("slash", *"fgsm", "enter"):
        driver.app.post_message(events.Key(key, "/" if key == "slash" else key if len(key) == 1 else None))
    await all_mean(driver, "fgsm-b")
    assert driver.names == ["fgsm-b", "fgsm-a"]
    await driver.press("slash")
    await driver.type("-a")
    assert driver.names == [name for name in driver.names if not name.endswith("-a")]
    await driver.press("escape")


async def by_filter_and_back(driver: Driver) -> None:
    await driver.press("slash")
    await driver.type("nothing like it")
    assert driver.names == []
    await driver.until(lambda: not driver.main.query_one(ChartGrid).viewer.runs)
    await driver.press("escape")
    await driver.until(lambda: len(driver.names) == 5)
    await all_mean(driver, driver.under_cursor)


async def by_sorting(driver: Driver) -> None:
    await driver.press("end")
    await all_mean(driver, "fgsm-a")
    await driver.press("o", "o", "o", "o")
    assert driver.names[0] != "pgd-waiting"
    await all_mean(driver, "fgsm-a")


async def by_a_click_on_a_title(driver: Driver) -> None:
    region = driver.list.region
    title = driver.lines()[region.y]
    await driver.pilot.click(offset=(title.index("last"), region.y))
    await all_mean(driver, "pgd-waiting")
    assert driver.names[-1] == "pgd-waiting"


async def by_grouping_and_folding(driver: Driver) -> None:
    await driver.press("end")
    await driver.press("g")
    await all_mean(driver, "fgsm-a")
    region = driver.list.region
    heading = next(place for place, row in enumerate(driver.list.rows) if row.heading and len(row.runs) == 2)
    key = driver.list.rows[heading].key
    await driver.pilot.click(offset=(region.x + 4, region.y + 1 + heading))
    assert not [name for name in driver.names if name.startswith("fgsm")]
    await all_mean(driver, driver.list.rows[heading].runs[0].name, row=key)
    await driver.press("g")
    await all_mean(driver, driver.under_cursor)


async def by_deletion(driver: Driver) -> None:
    await driver.press("down")
    await all_mean(driver, "pgd-b")
    await driver.press("D", "y")
    await driver.until(lambda: "pgd-b" not in driver.names)
    await all_mean(driver, "pgd-a")


async def by_vanishing(driver: Driver) -> None:
    await driver.press("end")
    await all_mean(driver, "fgsm-a")
    shutil.rmtree(Path("runs/fgsm-a"))
    await driver.until(lambda: "fgsm-a" not in driver.names)
    await all_mean(driver, "fgsm-b")


async def by_unmarking(driver: Driver) -> None:
    await driver.press("down", "space", "space", "m")
    await all_mean(driver, "fgsm-b")


async def by_another_state(driver: Driver) -> None:
    await all_mean(driver, "pgd-waiting")
    await driver.press("question_mark")
    assert isinstance(driver.app.screen, Help)
    made_runs.make("another", "queued")
    finish(RunDirectory(Path("runs/pgd-waiting")))
    await driver.until(lambda: driver.names[0] == "another")
    await driver.until_status("pgd-waiting", "finished")
    await driver.press("escape")
    await all_mean(driver, "pgd-waiting")


def finish(run: RunDirectory) -> None:
    """Have a queued run be finished, as a run is that another machine has done."""
    run.ticket.unlink()
    events = [fake_trainer.started(8, "cpu", 0), fake_trainer.epoch_end(1, 8), Finished(seconds=1.0)]
    run.events.write_bytes(b"".join(encode(msgspec.structs.replace(event, time=time.time())) for event in events))


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    "act",
    [by_filter, by_keys_that_come_at_once, by_filter_and_back,
     by_sorting, by_a_click_on_a_title, by_grouping_and_folding, by_deletion,
     by_vanishing, by_unmarking, by_another_state],
)  # fmt: skip
def test_everything_is_about_the_run_under_the_cursor(act: Act) -> None:
    drive(act)
