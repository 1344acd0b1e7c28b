"""Everything that can be done to runs, by mouse alone."""

from __future__ import annotations

from pathlib import Path

import made_runs
import pytest
from conftest import CommandLine
from dashboard_driver import Driver, drive
from textual import events
from textual.command import CommandPalette
from textual.containers import VerticalScroll

from domcli.dashboard.screens.compare import CompareScreen
from domcli.dashboard.screens.confirm import Confirm
from domcli.dashboard.screens.help import KEYS, NAMES, Help
from domcli.dashboard.screens.log import LogScreen
from domcli.dashboard.screens.new_run import NewRun

NAME = "pgd-dom-re-quick-seed0"


@pytest.fixture(autouse=True)
def _terminal_of_many_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")


async def click(driver: Driver, text: str, within: str = "") -> None:
    """Click the first letter of a text that stands on the screen, in the last such line, or the first with `within`."""
    await driver.until(lambda: any(text in line and within in line for line in driver.lines()))
    lines = driver.lines()
    row = (min if within else max)(row for row, line in enumerate(lines) if text in line and within in line)
    column = lines[row].index(text) + len(text) - len(text.lstrip())
    widget, region = driver.app.screen.get_widget_at(column, row)
    await driver.pilot.click(widget, offset=(column - region.x, row - region.y))
    await driver.pilot.pause()


async def click_in_help(driver: Driver, key: str, what: str) -> None:
    await click(driver, "? help")
    assert isinstance(driver.app.screen, Help)
    scroll = driver.app.screen.query_one(VerticalScroll)
    while not any(what in line for line in driver.lines()):
        assert not scroll.is_vertical_scroll_end
        scroll.post_message(events.MouseScrollDown(scroll, 5, 5, 0, 1, 0, False, False, False))
        await driver.pilot.pause()
    await click(driver, f" {key} ", within=what)


def test_a_run_is_started_killed_resumed_and_stopped(cli: CommandLine) -> None:
    cli.play("wait")

    async def act(driver: Driver) -> None:
        await click_in_help(driver, "Q", "quick run, about")
        await driver.until(lambda: isinstance(driver.app.screen, Confirm))
        await click(driver, "Start  y")
        await driver.until_status(NAME, "running")
        await click_in_help(driver, "K", "kill")
        await driver.until(lambda: isinstance(driver.app.screen, Confirm))
        await click(driver, "Kill  y")
        await driver.until_status(NAME, "lost")
        await click(driver, "r resume")
        await driver.until_status(NAME, "running")
        await click(driver, "p stop")
        await driver.until(lambda: isinstance(driver.app.screen, Confirm))
        await click(driver, "Stop  y")
        await driver.until_status(NAME, "stopped")
        await click_in_help(driver, "r", "resume; resume all")
        await driver.until_status(NAME, "running")

    drive(act)


def test_a_run_is_set_up(cli: CommandLine) -> None:
    cli.play("finish")

    async def act(driver: Driver) -> None:
        await click(driver, "n new")
        assert isinstance(driver.app.screen, NewRun)
        await click(driver, "fgsm-dom-re ")
        await click(driver, "quick: a minute")
        await click(driver, "Start  ctrl+s")
        await driver.until_status("fgsm-dom-re-quick-seed0", "finished")

    drive(act)


def test_runs_are_marked_compared_and_deleted(cli: CommandLine) -> None:
    for name in ("one", "two", "kept"):
        made_runs.make(name, "finished")

    async def act(driver: Driver) -> None:
        await driver.until(lambda: len(driver.names) == 3)
        for name in ("one", "two"):
            row = driver.names.index(name)
            await driver.pilot.click(driver.list, offset=(0, row + 1))
        await driver.pilot.pause()
        assert set(driver.main.marks) == {"one", "two"}
        await click(driver, "c compare")
        await driver.until(lambda: isinstance(driver.app.screen, CompareScreen))
        await driver.until(lambda: "Comparison of 2 runs" in driver.text())
        await click(driver, "esc back")
        await click(driver, "D delete")
        await click(driver, "Delete  y")
        await driver.until(lambda: driver.names == ["kept"])

    drive(act)
    assert [path.name for path in Path("runs").iterdir() if not path.name.startswith(".")] == ["kept"]


def test_command_path_and_log_are_reached(cli: CommandLine) -> None:
    run = made_runs.make("one", "finished")
    run.log.write_text("the first line\n")

    async def act(driver: Driver) -> None:
        await click_in_help(driver, "C", "copy command")
        await driver.until(lambda: driver.app.clipboard == "domcli show one")
        await click_in_help(driver, "P", "copy path")
        await driver.until(lambda: driver.app.clipboard == str(Path("runs/one").absolute()))
        await click_in_help(driver, "L", "whole log")
        await driver.until(lambda: isinstance(driver.app.screen, LogScreen))
        await click(driver, "esc back")
        await click_in_help(driver, "ctrl+p", "everything by name")
        await driver.until(lambda: isinstance(driver.app.screen, CommandPalette))

    drive(act)


def test_every_key_of_the_help_is_one(cli: CommandLine) -> None:
    """A click on it would otherwise do nothing."""
    made_runs.make("one", "stopped")
    others = {"ctrl+p", "ctrl+t", "ctrl+z", "enter", "tab", "space"}

    async def act(driver: Driver) -> None:
        await driver.press("space", "tab")
        bound = {key for screen in (driver.main, driver.main.query_one("#charts"), driver.list)
                 for key in screen._bindings.key_to_bindings}  # fmt: skip
        for _, lines in KEYS:
            for keys, what in lines:
                for key in keys.split():
                    assert NAMES.get(key, key) in bound | others, what

    drive(act)
