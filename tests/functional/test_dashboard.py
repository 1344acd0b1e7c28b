"""The dashboard on runs in every state: what it shows, and what the keys and the mouse do."""

from __future__ import annotations

import shutil
from pathlib import Path

import made_runs
import pytest
from conftest import CommandLine
from dashboard_driver import Driver, drive
from textual.widgets import Input

from domcli import finding
from domcli.dashboard.screens.compare import CompareScreen
from domcli.dashboard.screens.help import Help
from domcli.dashboard.screens.log import LogScreen, LogView
from domcli.dashboard.widgets.charts import ChartGrid
from domcli.dashboard.widgets.detail import DetailPanel

pytestmark = pytest.mark.usefixtures("cli")


@pytest.fixture(autouse=True)
def _terminal_of_many_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
def runs(cli: CommandLine) -> None:
    """Finished seeds of one setting, and a run in each other state."""
    for seed in range(3):
        made_runs.make(f"pgd-seed{seed}", "finished", epochs=4 - seed)
    made_runs.make("fgsm", "stopped", preset="fgsm-dom-re")
    made_runs.make("natural", "failed", preset="natural-dom-re")
    made_runs.make("waiting", "queued")


@pytest.mark.usefixtures("runs")
def test_all_runs_are_listed_with_counts_and_accuracies() -> None:
    async def act(driver: Driver) -> None:
        assert driver.names == ["waiting", "natural", "fgsm", "pgd-seed2", "pgd-seed1", "pgd-seed0"]
        text = driver.text()
        for words in ("3 finished", "1 queued", "1 failed", "1 stopped", "no memory", "at 2/4"):
            assert words in text
        await driver.press("end")
        await driver.until(lambda: "PGD" in driver.detail())
        assert "32.0 31.0" in driver.line("pgd-seed0")  # epoch 4, and the best, epoch 2

    drive(act)


def test_without_runs_it_teaches_how_to_start() -> None:
    async def act(driver: Driver) -> None:
        text = driver.text()
        for command in ("domcli run pgd-dom-re --quick", "domcli presets", "domcli doctor", "start a quick run"):
            assert command in text

    drive(act)


@pytest.mark.usefixtures("runs")
def test_the_filter_narrows_the_list_as_it_is_typed() -> None:
    async def act(driver: Driver) -> None:
        await driver.press("slash")
        await driver.type("pgd seed1")
        assert driver.names == ["pgd-seed1"]
        await driver.press("enter")
        assert driver.main.focused is driver.list
        await driver.press("escape")
        assert len(driver.names) == 6
        await driver.press("slash")
        await driver.type("-finished pgd")
        assert driver.names == ["waiting"]

    drive(act)


@pytest.mark.usefixtures("runs")
def test_a_filter_that_nothing_fits_says_so_and_escape_clears_it() -> None:
    async def act(driver: Driver) -> None:
        await driver.press("slash")
        await driver.type("zzz")
        assert "No run fits" in driver.text()
        await driver.press("escape")
        assert len(driver.names) == 6

    drive(act)


@pytest.mark.usefixtures("runs")
def test_runs_are_sorted_by_key_and_by_a_click_on_a_title() -> None:
    async def act(driver: Driver) -> None:
        await driver.press("o")
        assert driver.main.query_one("#runs").border_subtitle == "▼ by newest"
        region = driver.list.region
        title = driver.lines()[region.y]
        await driver.pilot.click(offset=(title.index("last"), region.y))
        assert "▼last" in driver.lines()[region.y]
        assert driver.names[-2:] == ["pgd-seed1", "waiting"]  # 30 %, and what is not known comes last
        await driver.pilot.click(offset=(title.index("last"), region.y))
        assert driver.names[0] == "pgd-seed1"
        assert driver.names[-1] == "waiting"

    drive(act)


@pytest.mark.usefixtures("runs")
def test_runs_are_grouped_by_setting_and_groups_fold() -> None:
    async def act(driver: Driver) -> None:
        await driver.press("g")
        headings = [row for row in driver.list.rows if row.heading]
        assert [len(row.runs) for row in headings] == [6]
        assert "n=1 of 6" in driver.text()  # all are of one seed, and only one has all of its epochs
        await driver.press("slash")
        await driver.type("pgd")
        assert driver.main.query_one("#runs").border_title == "Runs 6 of 6"
        await driver.press("escape")
        await driver.press("home", "left")
        assert len(driver.names) == 1
        await driver.press("right")
        assert len(driver.names) == 7
        await driver.press("down", "down", "left")
        assert driver.list.row is not None
        assert driver.list.row.heading

    drive(act)


@pytest.mark.usefixtures("runs")
def test_marked_runs_are_overlaid_in_their_colours_until_unmarked() -> None:
    async def act(driver: Driver) -> None:
        charts = driver.main.query_one(ChartGrid)
        await driver.press("end", "up", "up", "space", "space", "space")
        assert driver.main.marks == {"pgd-seed2": 0, "pgd-seed1": 1, "pgd-seed0": 2}
        await driver.until(lambda: len(charts.viewer.runs) == 3)
        assert [one.colour for one in charts.viewer.runs] == [0, 1, 2]
        assert driver.text().count("●") >= 3
        await driver.press("end", "space")
        assert driver.main.marks == {"pgd-seed2": 0, "pgd-seed1": 1}
        await driver.press("m")
        await driver.until(lambda: [one.run.directory.name for one in charts.viewer.runs] == ["pgd-seed0"])

    drive(act)


@pytest.mark.usefixtures("runs")
def test_the_mouse_alone_moves_marks_and_opens() -> None:
    async def act(driver: Driver) -> None:
        region = driver.list.region
        await driver.pilot.click(offset=(region.x + 8, region.y + 3))
        assert driver.under_cursor == "fgsm"
        await driver.pilot.click(offset=(region.x, region.y + 3))
        assert driver.main.marks == {"fgsm": 0}
        await driver.pilot.click("#tab-settings")
        assert driver.main.query_one(DetailPanel).tab == "settings"
        await driver.pilot.click(offset=(region.x + 8, region.y + 3), times=2)
        assert driver.main.panel == "charts"

    drive(act)


@pytest.mark.usefixtures("runs")
def test_the_cursor_stays_on_its_run_while_rows_come_and_go() -> None:
    async def act(driver: Driver) -> None:
        await driver.press("down", "down")
        assert driver.under_cursor == "fgsm"
        made_runs.make("another", "failed")
        await driver.until(lambda: "another" in driver.names)
        assert driver.under_cursor == "fgsm"
        shutil.rmtree(Path("runs/fgsm"))
        await driver.until(lambda: "fgsm" not in driver.names)
        assert driver.under_cursor == "pgd-seed2"

    drive(act)


def test_a_marked_run_that_is_removed_disappears_everywhere() -> None:
    made_runs.make("one", "finished")
    made_runs.make("other", "finished")

    async def act(driver: Driver) -> None:
        await driver.press("space", "space")
        assert set(driver.main.marks) == {"one", "other"}
        shutil.rmtree(Path("runs/one"))
        await driver.until(lambda: driver.names == ["other"])
        assert set(driver.main.marks) == {"other"}
        charts = driver.main.query_one(ChartGrid)
        await driver.until(lambda: [one.run.directory.name for one in charts.viewer.runs] == ["other"])

    drive(act)


def test_damaged_runs_are_rows_with_the_reason() -> None:
    made_runs.make("whole", "finished")
    broken = made_runs.make("broken", "finished")
    broken.events.write_text("{no event\n")
    half = Path("runs/half")
    half.mkdir()
    (half / "settings.toml").write_text("[data\n")

    async def act(driver: Driver) -> None:
        assert sorted(driver.names) == ["broken", "half", "whole"]
        assert sum("damaged" in line for line in driver.lines()) == 2
        driver.list.go_to("broken")
        await driver.until(lambda: "events.jsonl, line 1" in " ".join(driver.detail().split()))

    drive(act)


def test_the_overfitting_watch_badges_runs_nobody_looks_at() -> None:
    from domcli.events import Failed, encode

    run = made_runs.make("diverging", "finished", epochs=2)
    events = [event for event in run.events.read_bytes().split(b"\n")[:-1] if b'"finished"' not in event]
    nan = [line.replace(b'"natural_loss":1.5', b'"natural_loss":null') for line in events]
    failed = encode(Failed(cause="non-finite-loss", reason="the loss is not finite"))
    run.events.write_bytes(b"\n".join(nan) + b"\n" + failed)
    made_runs.make("newer", "queued")

    async def act(driver: Driver) -> None:
        await driver.until(lambda: any(one.findings for one in driver.main.snapshot.runs))
        assert any("diverging" in line and " div" in line for line in driver.lines())

    drive(act)


@pytest.mark.usefixtures("runs")
def test_detail_tells_accuracies_patterns_and_what_differs() -> None:
    async def act(driver: Driver) -> None:
        driver.list.go_to("pgd-seed0")
        await driver.until(lambda: "memorized patterns" in driver.detail())
        assert "finished after 4 epochs" in driver.detail()
        assert "32.00" in driver.detail()
        await driver.press("s")
        await driver.until(lambda: "not as in pgd-dom-re" in driver.detail())
        assert "train.epochs 4  not 200" in driver.detail()

    drive(act)


def test_settings_tell_what_differs_between_marked_runs() -> None:
    made_runs.make("short", "finished", of=4)
    made_runs.make("long", "finished", of=8)

    async def act(driver: Driver) -> None:
        await driver.press("space", "space", "s")
        detail = driver.detail()
        assert "differences of the 2 marked" in detail
        assert "train.epochs" in detail
        before_presets = detail.partition("not as in")[0]
        assert " 8" in before_presets
        assert " 4" in before_presets
        assert "train.max_lr" not in before_presets

    drive(act)


def test_the_log_is_shown_and_searched() -> None:
    run = made_runs.make("talking", "finished")
    run.log.write_text("".join(f"line {number}\n" for number in range(500)) + "the end\n")

    async def act(driver: Driver) -> None:
        await driver.press("l")
        await driver.until(lambda: "the end" in driver.detail())
        await driver.press("l")
        await driver.until(lambda: isinstance(driver.app.screen, LogScreen))
        view = driver.app.screen.query_one(LogView)
        await driver.until(lambda: len(view.lines) == 501)
        assert "the end" in driver.text()
        await driver.press("slash")
        await driver.type("line 44")
        assert len(view.found) == 11
        await driver.press("enter")
        assert "line 44" in driver.text()
        with run.log.open("a") as log:
            log.write("and more\n")
        await driver.until(lambda: view.lines[-1] == "and more")
        await driver.press("escape", "escape")
        assert driver.app.screen is driver.main

    drive(act)


def test_marked_runs_are_compared() -> None:
    made_runs.make("short", "finished", of=4, epochs=4)
    made_runs.make("long", "finished", of=8, epochs=8, preset="pgd-baseline")

    async def act(driver: Driver) -> None:
        await driver.press("space", "space", "c")
        await driver.until(lambda: isinstance(driver.app.screen, CompareScreen))
        await driver.until(lambda: "Settings that differ" in driver.text())
        assert "train.epochs" in driver.text()
        assert "PGD-20 test accuracy" in driver.text()
        await driver.press("e")
        await driver.until(lambda: "test error" in driver.text())
        await driver.press("escape")
        assert driver.app.screen is driver.main

    drive(act)


@pytest.mark.usefixtures("runs")
def test_help_explains_and_the_palette_knows_every_key() -> None:
    async def act(driver: Driver) -> None:
        await driver.press("question_mark")
        assert isinstance(driver.app.screen, Help)
        assert "mark: the charts show the marked runs" in driver.text()
        await driver.press("escape")
        titles = [command.title for command in driver.app.get_system_commands(driver.main)]
        for words in (
            "Set up and start a new run",
            "Filter the runs as you type",
            "Epochs, steps or hours on the x axis",
        ):
            assert words in titles
        await driver.press("ctrl+p")
        await driver.type("group the runs")
        await driver.until(lambda: "Group the runs by setting" in driver.text())
        await driver.press("enter")
        await driver.until(lambda: any(row.heading for row in driver.list.rows))

    drive(act)


@pytest.mark.usefixtures("runs")
def test_only_keys_that_make_sense_now_are_shown() -> None:
    async def act(driver: Driver) -> None:
        driver.list.go_to("waiting")
        await driver.until(lambda: "p stop" in driver.lines()[-1])
        assert "r resume" not in driver.lines()[-1]
        driver.list.go_to("fgsm")
        await driver.until(lambda: "r resume" in driver.lines()[-1])
        assert "p stop" not in driver.lines()[-1]

    drive(act)


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("size", "panels"), [((80, 24), 1), ((100, 40), 3), ((120, 24), 3), ((160, 45), 3), ((300, 90), 3)]
)
def test_it_lays_out_in_every_size(size: tuple[int, int], panels: int) -> None:
    async def act(driver: Driver) -> None:
        shown = [one for one in ("#runs", "#middle", "#detail") if driver.main.query_one(one).display]
        assert len(shown) == panels
        for one in shown:
            region = driver.main.query_one(one).region
            assert region.width >= 30
            assert region.height >= 10
            assert region.right <= size[0]
        assert "queued" in driver.line("waiting")

    drive(act, size=size)


@pytest.mark.usefixtures("runs")
def test_one_panel_at_a_time_has_the_same_keys() -> None:
    async def act(driver: Driver) -> None:
        def shown() -> list[str]:
            return [one for one in ("runs", "middle", "detail") if driver.main.query_one(f"#{one}").display]

        assert shown() == ["runs"]
        await driver.press("tab")
        assert shown() == ["middle"]
        await driver.press("tab")
        assert shown() == ["detail"]
        await driver.press("escape")
        assert shown() == ["runs"]
        await driver.press("enter")
        assert shown() == ["middle"]
        await driver.press("s")
        assert shown() == ["detail"]
        await driver.pilot.resize_terminal(160, 45)
        await driver.pilot.pause()
        assert shown() == ["runs", "middle", "detail"]

    drive(act, size=(80, 24))


@pytest.mark.usefixtures("runs")
def test_chart_keys_work_from_the_list() -> None:
    async def act(driver: Driver) -> None:
        charts = driver.main.query_one(ChartGrid)
        assert driver.main.focused is driver.list
        await driver.press("x", "w")
        assert charts.viewer.view.axis == "steps"
        assert charts.viewer.view.smoothing > 0
        driver.list.go_to("pgd-seed0")
        await driver.until(lambda: charts.viewer.runs)
        await driver.press("comma")
        await driver.until(lambda: "natural" in str(driver.main.query_one("#status").render()))

    drive(act)


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("terminal", [{"TERM": "xterm"}, {"NO_COLOR": "1"}, {"COLORFGBG": "0;15"}])
def test_it_works_with_few_colours_without_and_on_light_terminals(
    terminal: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in terminal.items():
        monkeypatch.setenv(name, value)

    async def act(driver: Driver) -> None:
        expected = "domcli-light" if "COLORFGBG" in terminal else "domcli-ansi"
        assert driver.app.theme == expected
        await driver.press("space", "down", "n")
        await driver.press("escape", "question_mark", "escape", "ctrl+t")
        assert driver.app.theme != expected
        assert "waiting" in driver.text()

    drive(act)


@pytest.mark.usefixtures("runs")
def test_copying_gives_path_and_command() -> None:
    async def act(driver: Driver) -> None:
        driver.list.go_to("fgsm")
        await driver.press("P")
        assert driver.app.clipboard == str(Path("runs/fgsm").absolute())
        finding.find(Path("runs"), "fgsm").update_environment({"command_line": "domcli run fgsm-dom-re --seeds 4"})
        await driver.press("C")
        assert driver.app.clipboard == "domcli run fgsm-dom-re --seeds 4"

    drive(act)


def test_it_needs_a_terminal(cli: CommandLine) -> None:
    from domcli.cli.dashboard import NoTerminalError, dashboard

    with pytest.raises(NoTerminalError, match="domcli runs --json"):
        dashboard(Path("runs"))


def test_an_unlistable_folder_is_told_in_the_header() -> None:
    Path("runs").write_text("a file")

    async def act(driver: Driver) -> None:
        await driver.until(lambda: "cannot list runs" in driver.text())

    drive(act)


@pytest.mark.usefixtures("runs")
def test_typing_in_a_field_triggers_no_keys() -> None:
    async def act(driver: Driver) -> None:
        await driver.press("slash")
        await driver.type("qxdg")
        assert driver.main.query_one("#filter", Input).value == "qxdg"
        assert driver.app.is_running
        assert driver.app.screen is driver.main

    drive(act)
