"""The panels around the charts: the line of keys, the large numbers, the text that scrolls, and what loads when."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import made_runs
import pytest
from dashboard_driver import Driver, drive
from rich.style import Style
from textual import events
from textual.theme import Theme

import domcli
from domcli.compare.groups import shown_value
from domcli.dashboard import facts, themes
from domcli.dashboard.model import Changed, Detail
from domcli.dashboard.screens.help import Help
from domcli.dashboard.widgets.footer import KeyLine
from domcli.dashboard.widgets.numbers import Numbers, column_starts, large
from domcli.dashboard.widgets.text_view import TextView
from domcli.runs import read_run

pytestmark = pytest.mark.usefixtures("cli")
LIST_ALONE = """
import sys
import domcli.cli.main, domcli.cli.dashboard, domcli.dashboard.source, domcli.dashboard.app
print(*sys.modules)
"""


@pytest.fixture(autouse=True)
def _terminal_of_many_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


def keys(driver: Driver) -> str:
    return driver.lines()[-1]


def test_the_line_of_keys_follows_what_can_be_done_and_its_keys_can_be_clicked() -> None:
    made_runs.make("ended", "finished")
    made_runs.make("halted", "stopped")

    async def act(driver: Driver) -> None:
        assert driver.under_cursor == "halted"
        await driver.until(lambda: "r resume" in keys(driver))
        assert "p stop" not in keys(driver)
        await driver.press("down")
        await driver.until(lambda: "r resume" not in keys(driver))
        await driver.pilot.hover(KeyLine, offset=(keys(driver).index("? help"), 0))
        assert driver.main.query_one(KeyLine).tooltip == "Explain this screen"
        await driver.pilot.mouse_down(KeyLine, offset=(keys(driver).index("? help"), 0))
        await driver.until(lambda: isinstance(driver.app.screen, Help))

    drive(act)


def test_keys_that_do_not_fit_are_scrolled_to() -> None:
    made_runs.make("ended", "finished")

    async def act(driver: Driver) -> None:
        line = driver.main.query_one(KeyLine)
        assert "e export" not in keys(driver)
        assert keys(driver).rstrip().endswith("…")
        assert keys(driver).rstrip(" …").endswith(tuple(f" {one.description}" for one in line._keys))
        for _ in range(40):
            line.post_message(events.MouseScrollDown(line, 1, 0, 0, 1, 0, False, False, False))
        await driver.until(lambda: keys(driver).rstrip().endswith("export"))
        assert keys(driver).startswith("… ")
        assert keys(driver)[2:].lstrip().startswith(tuple(f"{one.display} {one.description}" for one in line._keys))

    drive(act, size=(80, 24))


@pytest.mark.parametrize("text", ["-99.9", "99.9", "100", "0.0", "–", ""])
def test_large_numbers_fit_three_beside_each_other_in_the_narrowest_panel(text: str) -> None:
    rows = large(text, Style())
    assert len(rows) == 3
    assert max(map(len, rows)) <= 11
    assert ("─" in rows[1][:1]) == text.startswith("-")


@pytest.mark.parametrize("width", [120, 160])
def test_the_gap_to_the_best_epoch_keeps_its_decimal(width: int) -> None:
    run = made_runs.make("declining", "finished", epochs=4)
    run.events.write_bytes(run.events.read_bytes().replace(b'"pgd_accuracy":0.31', b'"pgd_accuracy":0.105'))
    run.brief.unlink(missing_ok=True)

    async def act(driver: Driver) -> None:
        numbers = driver.main.query_one(Numbers)
        await driver.until(lambda: numbers.numbers)
        assert [value for value, _ in numbers.numbers] == ["32.0", "10.5", "21.5"]
        shown = [line[numbers.region.x : numbers.region.right] for line in driver.lines()]
        assert shown[numbers.region.y + 1].rstrip().endswith(large("21.5", Style())[1].rstrip())
        assert "PGD-20 last" in shown[numbers.region.y + 3]  # not now: nothing is at work
        assert "best − last" in shown[numbers.region.y + 3]
        assert "+21.50" in driver.detail()  # the table has the same sign

    drive(act, size=(width, 40))


@pytest.mark.parametrize("width", range(35, 60))
def test_no_caption_runs_into_the_next(width: int) -> None:
    numbers = (("99.9", "best @ 27"), ("99.9", "natural last"), ("0.0", "best − last"))
    starts = column_starts(numbers, width)
    assert (starts[0], starts[-1]) == (0, width)
    for (_, caption), start, end in zip(numbers[:-1], starts[:-2], starts[1:-1], strict=True):
        assert len(caption) < end - start
    assert len(numbers[-1][1]) <= width - starts[-2]


@pytest.mark.parametrize(("width", "gap"), [(36, "\n  "), (60, "  ")])
def test_what_the_preset_has_is_whole(width: int, gap: str) -> None:
    run = read_run(made_runs.make("one", "finished"))
    changed = (Changed("data.train_images", ("1000", shown_value(None)), quick=False),)
    text = facts.settings(run, Detail(run.directory.name, {}, changed=changed), (), width).plain
    assert f"data.train_images 1000{gap}not set there\n" in text


def test_the_text_of_a_run_scrolls_and_begins_anew_with_the_next() -> None:
    for name in ("one", "other"):
        made_runs.make(name, "finished")

    async def act(driver: Driver) -> None:
        view = driver.main.query_one(TextView)
        await driver.press("s")
        await driver.until(lambda: view.max_scroll_y > 0)
        view.focus()
        await driver.press("end")
        await driver.until(lambda: view.at_end)
        assert view.scroll_offset.y == view.max_scroll_y
        assert view.content.plain.rstrip().splitlines()[-1] in driver.text()
        driver.list.focus()
        await driver.press("down")
        await driver.until(lambda: view.scroll_offset.y == 0)
        await driver.press("v")
        await driver.until(lambda: view.max_scroll_y == 0)

    drive(act, size=(160, 34))


def test_the_text_of_a_run_can_be_selected_with_the_mouse() -> None:
    made_runs.make("one", "finished")

    async def act(driver: Driver) -> None:
        await driver.until(lambda: "finished" in driver.detail())
        region = driver.main.query_one(TextView).region
        await driver.pilot.mouse_down(offset=(region.x, region.y))
        await driver.pilot.hover(offset=(region.x + 9, region.y))
        await driver.pilot.mouse_up(offset=(region.x + 9, region.y))
        assert (driver.main.get_selected_text() or "").startswith("✓ finishe")

    drive(act)


def test_of_rows_passed_quickly_only_the_last_is_shown() -> None:
    for number in range(8):
        made_runs.make(f"run{number}", "finished")

    async def act(driver: Driver) -> None:
        shown: list[str] = []
        want = driver.app.want
        driver.app.want = lambda wanted: (shown.append(wanted.detail), want(wanted))[1]  # type: ignore[method-assign]
        await driver.press("home")
        last = driver.names[-1]
        for _ in range(7):
            driver.list.action_move(1)
        assert driver.under_cursor == last
        await driver.until(lambda: str(driver.main.query_one("#detail").border_title) == last)
        assert len(shown) <= 3

    drive(act)


def test_the_list_is_there_before_what_draws_charts_is_loaded() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(domcli.__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", LIST_ALONE], env=environment, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "domcli.dashboard.screens.main" in loaded
    assert loaded.isdisjoint({"numpy", "domcli.charts", "domcli.settings", "domcli.launch.queue", "domcli.sharing"})


def test_the_text_takes_the_colours_of_another_theme() -> None:
    made_runs.make("one", "finished")

    def colours(view: TextView) -> set[str]:
        segments = [segment for y in range(view.size.height) for segment in view.render_line(y)]
        return {str(segment.style.color.name) for segment in segments if segment.style and segment.style.color}

    async def act(driver: Driver) -> None:
        view = driver.main.query_one(TextView)
        await driver.until(lambda: "finished" in driver.detail())
        for theme in themes.THEMES[:2]:
            driver.app.theme = theme.name
            assert theme.foreground is not None
            assert theme.success is not None
            await driver.until(lambda theme=theme: {theme.foreground.lower(), theme.success.lower()} <= colours(view))
            assert colours(view) <= {str(colour).lower() for colour in allowed(theme)}

    drive(act)


def allowed(theme: Theme) -> set[str]:
    return {theme.foreground, theme.success, theme.primary, theme.warning, theme.error, theme.variables["quiet"]}  # type: ignore[arg-type]
