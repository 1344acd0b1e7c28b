"""The screens over the runs: the log of a replay, comparisons on narrow screens."""

from __future__ import annotations

from pathlib import Path

import made_runs
import pytest
import recorded
from conftest import CommandLine
from dashboard_driver import Driver, drive

from domcli.compare.sheets import Sheet
from domcli.dashboard.replay import ReplaySource
from domcli.dashboard.screens.compare import CompareScreen, Result, table, written
from domcli.dashboard.screens.log import LogScreen


@pytest.fixture(autouse=True)
def _terminal_of_many_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")


def test_the_log_of_a_replay_says_that_it_goes_on_to_the_end(cli: CommandLine) -> None:
    run = recorded.make("one")
    run.log.write_text("the end of it all\n")

    async def act(driver: Driver) -> None:
        await driver.press("L")
        assert isinstance(driver.app.screen, LogScreen)
        assert driver.lines()[0].rstrip() == " one   trainer.log   to the end of the run"
        await driver.until(lambda: "the end of it all" in driver.text())
        await driver.press("slash", "e", "n", "d")
        assert driver.lines()[0].rstrip() == " one   trainer.log   to the end of the run   1 lines with 'end'"

    drive(act, ReplaySource(Path("runs"), [run], 1.0))


def test_the_log_of_a_run_needs_no_such_remark(cli: CommandLine) -> None:
    made_runs.make("one", "finished")

    async def act(driver: Driver) -> None:
        await driver.press("L")
        assert driver.lines()[0].rstrip() == " one   trainer.log"

    drive(act)


@pytest.mark.parametrize("size", [(100, 30), (120, 40), (200, 50)])
def test_a_comparison_fits_the_screen(cli: CommandLine, size: tuple[int, int]) -> None:
    for seed in (0, 1):
        recorded.make(f"run-{seed}", seed, 30)

    async def act(driver: Driver) -> None:
        await driver.press("space", "space", "c")
        assert isinstance(driver.app.screen, CompareScreen)
        await driver.until(lambda: "Runs that do not count" in driver.text() or "group" in driver.text())
        scroll = driver.app.screen.query_one("#compare-scroll")
        assert scroll.virtual_size.width <= size[0]
        await driver.pilot.resize_terminal(100, 30)
        await driver.until(lambda: scroll.virtual_size.width <= 100)

    drive(act, size=size)


def test_long_words_of_a_table_are_wrapped_and_numbers_never() -> None:
    sheet = Sheet("t", ("group", "best", "last"), (("a long name (quick, epsilon=4)", "85.00 ± 1.23", "84.00"),))
    wide = [line.plain for line in table(sheet, 80)]
    assert wide == [
        "group                                   best   last",
        "a long name (quick, epsilon=4)  85.00 ± 1.23  84.00",
    ]
    narrow = [line.plain for line in table(sheet, 40)]
    assert all(len(line) <= 40 for line in narrow)
    assert narrow == [
        "group                        best   last",
        "a long name (quick,  85.00 ± 1.23  84.00",
        "epsilon=4)",
    ]


def test_titles_and_notes_are_wrapped() -> None:
    sheet = Sheet("a title that is long enough to need two lines", ("group",), (("one",),))
    text = written(Result((sheet,), ("and a note that is as long as the title is, too",)), 30).plain
    assert max(map(len, text.split("\n"))) <= 30
    assert "a title that is long enough to\nneed two lines\ngroup\none\n\nand a note" in text
    assert written(Result(problem="nothing can be compared here"), 20).plain == "nothing can be\ncompared here"


def test_a_comparison_that_is_too_wide_says_how_to_see_the_rest(cli: CommandLine) -> None:
    for seed in (0, 1):
        recorded.make(f"run-{seed}", seed, 30)

    async def act(driver: Driver) -> None:
        await driver.press("space", "space", "c")
        scroll = driver.app.screen.query_one("#compare-scroll")
        await driver.until(lambda: scroll.max_scroll_x > 0)
        assert "← → more" in driver.lines()[0]
        await driver.pilot.resize_terminal(200, 50)
        await driver.until(lambda: scroll.max_scroll_x == 0)
        assert "← →" not in driver.lines()[0]

    drive(act, size=(40, 24))


@pytest.mark.parametrize(
    ("size", "places"),
    [((160, 60), ("on the left", "in the middle", "on the right")), ((80, 24), ("the list", "the charts: tab"))],
)
def test_help_says_where_things_are_and_its_lines_stay_in_their_column(
    cli: CommandLine, size: tuple[int, int], places: tuple[str, ...]
) -> None:
    async def act(driver: Driver) -> None:
        await driver.press("question_mark")
        await driver.until(lambda: "Is everything running?" in driver.text())
        assert all(place in driver.text() for place in places)
        assert ("on the left" in driver.text()) == (size[0] > 80)
        text = [line.plain for line in driver.app.screen._lines(76)]  # type: ignore[attr-defined]
        assert max(map(len, text)) <= 76
        badge = next(place for place, line in enumerate(text) if line.startswith("  CO "))
        assert text[badge + 1].startswith(" " * 20)
        assert text[badge + 1].strip()

    drive(act, size=size)
