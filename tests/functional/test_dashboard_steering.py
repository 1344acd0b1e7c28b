"""Starting, stopping, resuming and deleting runs from the dashboard, with a fake trainer."""

from __future__ import annotations

from pathlib import Path

import made_runs
import pytest
from conftest import CommandLine
from dashboard_driver import Driver, drive
from textual.widgets import Input, OptionList, Static

from domcli import finding
from domcli.dashboard.screens.confirm import Confirm
from domcli.dashboard.screens.new_run import NewRun
from domcli.runs import read_run


@pytest.fixture(autouse=True)
def _terminal_of_many_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")


def test_a_quick_run_is_started_and_watched_until_it_finishes(cli: CommandLine) -> None:
    cli.play("finish")

    async def act(driver: Driver) -> None:
        await driver.press("Q", "y")
        await driver.until_status("pgd-dom-re-quick-seed0", "finished")
        assert driver.under_cursor == "pgd-dom-re-quick-seed0"
        await driver.until(lambda: "finished after 6 epochs" in driver.detail())

    drive(act)
    environment = finding.find(Path("runs"), "pgd-dom-re-quick-seed0").read_environment()
    assert environment["quick"] is True
    assert environment["command_line"] == "domcli run pgd-dom-re --quick --detach"


def test_a_quick_run_is_asked_about_first(cli: CommandLine) -> None:
    """Q is the key of leaving, with shift."""
    cli.play("finish")

    async def act(driver: Driver) -> None:
        await driver.press("Q")
        await driver.until(lambda: isinstance(driver.app.screen, Confirm))
        assert "pgd-dom-re --quick" in driver.text()
        await driver.press("escape")
        assert driver.app.screen is driver.main

    drive(act)
    assert not Path("runs").exists()


def test_a_run_is_stopped_and_resumed(cli: CommandLine) -> None:
    cli.play("wait")

    async def act(driver: Driver) -> None:
        name = "pgd-dom-re-quick-seed0"
        await driver.press("Q", "y")
        await driver.until_status(name, "running")
        await driver.until(lambda: read_run(finding.find(Path("runs"), name)).state.epochs)
        await driver.press("p")
        assert name in driver.text()
        await driver.press("enter")  # Cancel is chosen
        assert driver.app.screen is driver.main
        await driver.press("p", "y")
        await driver.until_status(name, "stopped")
        await driver.until(lambda: "stopped on request" in driver.detail())
        assert "SIGTERM" not in driver.detail()
        cli.play("finish")
        await driver.press("r")
        await driver.until_status(name, "finished")

    drive(act)


def test_leaving_touches_no_run(cli: CommandLine) -> None:
    cli.play("wait")

    async def act(driver: Driver) -> None:
        await driver.press("Q", "y")
        await driver.until_status("pgd-dom-re-quick-seed0", "running")
        await driver.press("q")

    drive(act)
    assert read_run(finding.find(Path("runs"), "pgd-dom-re-quick-seed0")).status == "running"


def test_new_runs_are_set_up_with_values_and_seeds(cli: CommandLine) -> None:
    cli.play("finish")

    async def act(driver: Driver) -> None:
        await driver.press("n")
        screen = driver.app.screen
        assert isinstance(screen, NewRun)
        presets = screen.query_one("#presets", OptionList)
        presets.highlighted = presets.get_option_index("fgsm-dom-re")
        await driver.pilot.pause()
        assert "RS-FGSM" in str(screen.query_one("#about", Static).content)
        screen.query_one("#value", Input).focus()
        await driver.press("ctrl+u")
        await driver.type("3")
        screen.query_one("#seeds", Input).focus()
        await driver.type("0-1")
        screen.query_one("#name", Input).focus()
        await driver.type("mine")
        command = str(screen.query_one("#command", Static).content)
        assert command == "$ domcli run fgsm-dom-re --seeds 0-1 --set train.epochs=3 --name mine --detach"
        await driver.press("ctrl+s")
        await driver.until_status("mine-seed0", "finished")
        await driver.until_status("mine-seed1", "finished")

    drive(act)
    tables = finding.find(Path("runs"), "mine-seed1").read_settings()
    assert tables["train"]["epochs"] == 3
    assert tables["train"]["seed"] == 1
    assert tables["attack"]["name"] == "fgsm"


def test_values_are_checked_as_they_are_typed(cli: CommandLine) -> None:
    async def act(driver: Driver) -> None:
        await driver.press("n")
        screen = driver.app.screen
        assert isinstance(screen, NewRun)
        problem = screen.query_one("#problem", Static)
        screen.query_one("#value", Input).focus()
        await driver.press("ctrl+u")
        await driver.type("many")
        assert 'train.epochs is "many" (text); it must be a whole number' in str(problem.content)
        await driver.press("ctrl+s")
        assert driver.app.screen is screen
        await driver.press("ctrl+u")
        await driver.type("7")
        assert str(problem.content) == ""
        screen.query_one("#seeds", Input).focus()
        await driver.type("1,x")
        assert "write whole numbers with commas between them" in str(problem.content)
        await driver.press("escape")
        assert driver.app.screen is driver.main

    drive(act)
    assert not Path("runs").exists()


def test_jobs_and_retries_are_typed_shown_and_checked(cli: CommandLine) -> None:
    cli.play("finish")

    async def act(driver: Driver) -> None:
        await driver.press("n")
        screen = driver.app.screen
        assert isinstance(screen, NewRun)
        command, problem = (screen.query_one(f"#{part}", Static) for part in ("command", "problem"))
        screen.query_one("#jobs", Input).focus()
        assert screen.query_one("#jobs", Input).value == "auto"
        assert "--jobs-per-gpu" not in str(command.content)
        await driver.press("ctrl+u")
        await driver.type("0")
        assert str(problem.content) == "jobs per GPU 0: write auto, or a whole number, 1 or more"
        await driver.press("ctrl+s")
        assert driver.app.screen is screen
        await driver.press("ctrl+u")
        await driver.type("2")
        screen.query_one("#retries", Input).focus()
        await driver.type("3")
        assert str(problem.content) == ""
        assert "--jobs-per-gpu 2 --max-retries 3" in str(command.content)
        await driver.pilot.click("#quick")
        await driver.press("ctrl+s")
        await driver.until_status("pgd-dom-re-quick-seed0", "finished")

    drive(act)
    run = finding.find(Path("runs"), "pgd-dom-re-quick-seed0")
    assert "--jobs-per-gpu 2 --max-retries 3" in str(run.read_environment()["command_line"])


def test_whether_a_box_is_ticked_shows_without_colours(cli: CommandLine) -> None:
    async def act(driver: Driver) -> None:
        await driver.press("n")
        before = next(line for line in driver.lines() if "a minute on digits" in line)
        await driver.pilot.click("#quick")
        await driver.pilot.pause()
        after = next(line for line in driver.lines() if "a minute on digits" in line)
        assert "✓" not in before
        assert "X" not in before
        assert "✓" in after

    drive(act)


def test_a_choice_is_made_with_enter_and_the_mouse(cli: CommandLine) -> None:
    async def act(driver: Driver) -> None:
        await driver.press("n")
        screen = driver.app.screen
        assert isinstance(screen, NewRun)
        settings = screen.query_one("#settings", OptionList)
        settings.focus()
        settings.highlighted = settings.get_option_index("attack.norm")
        await driver.press("enter")
        assert screen.form.changes == {"attack.norm": "l2"}
        await driver.press("enter")
        assert screen.form.changes == {}
        await driver.pilot.click("#quick")
        assert "--quick" in str(screen.query_one("#command", Static).content)
        await driver.pilot.click("#copy")
        assert driver.app.clipboard == "domcli run pgd-dom-re --quick --detach"
        await driver.pilot.click("#cancel")
        assert driver.app.screen is driver.main

    drive(act)


def test_deleting_asks_first(cli: CommandLine) -> None:
    made_runs.make("old", "finished")
    made_runs.make("kept", "finished")

    async def act(driver: Driver) -> None:
        driver.list.go_to("old")
        await driver.press("D")
        assert isinstance(driver.app.screen, Confirm)
        await driver.press("n")
        assert Path("runs/old").is_dir()
        await driver.press("D", "y")
        await driver.until(lambda: driver.names == ["kept"])

    drive(act)
    assert not Path("runs/old").exists()


def test_several_marked_runs_are_deleted_together(cli: CommandLine) -> None:
    for name in ("one", "two", "three"):
        made_runs.make(name, "finished")

    async def act(driver: Driver) -> None:
        await driver.press("space", "space", "up", "D")
        assert "these 2 runs" in driver.text()
        await driver.pilot.click("#yes")
        await driver.until(lambda: len(driver.names) == 1)

    drive(act)


def test_what_cannot_be_done_is_a_sentence_not_a_crash(cli: CommandLine) -> None:
    run = made_runs.make("moved", "stopped")
    run.settings.write_text("[train]\nepochs = 0\n")

    async def act(driver: Driver) -> None:
        await driver.press("r")
        await driver.until(lambda: any("train.epochs is 0; it must be at least 1" in note for note in driver.notes))

    drive(act)


def test_killing_asks_and_ends_the_trainer(cli: CommandLine) -> None:
    cli.play("stubborn")

    async def act(driver: Driver) -> None:
        name = "pgd-dom-re-quick-seed0"
        await driver.press("Q", "y")
        await driver.until_status(name, "running")
        await driver.press("K")
        assert isinstance(driver.app.screen, Confirm)
        await driver.press("y")
        await driver.until_status(name, "lost")

    drive(act)


def test_keys_that_do_nothing_now_say_why(cli: CommandLine) -> None:
    made_runs.make("done", "finished")
    made_runs.make("busy", "running")

    async def act(driver: Driver) -> None:
        async def told(key: str, words: str) -> None:
            await driver.press(key)
            assert driver.app.screen is driver.main
            await driver.until(lambda: driver.notes[-1:] == [words])

        assert driver.under_cursor == "busy"
        await told("D", "busy is at work: stop first, with p.")
        await told("c", "A comparison needs two runs or more: mark them with space.")
        await told("R", "No run has failed or was lost.")
        await driver.press("down")
        await told("p", "done is finished: there is nothing to stop.")
        await told("r", "done is finished: there is nothing to resume.")
        await driver.press("slash")
        await driver.type("pr")
        assert len(driver.notes) <= 5

    drive(act)


def test_notices_are_short_lived_and_above_the_legends(cli: CommandLine) -> None:
    made_runs.make("done", "finished")

    async def act(driver: Driver) -> None:
        await driver.press("c")
        await driver.until(lambda: driver.app.screen.query("Toast"))
        toast = driver.app.screen.query("Toast").first()
        await driver.until(lambda: toast.region.height)
        assert toast.region.bottom < driver.app.size.height // 2
        assert all(note.timeout <= 4 for note in driver.app._notifications)

    drive(act, toasts=True)


def test_a_strength_on_another_scale_is_doubted_in_the_form(cli: CommandLine) -> None:
    async def act(driver: Driver) -> None:
        await driver.press("n")
        screen = driver.app.screen
        options = screen.query_one("#settings", OptionList)
        options.highlighted = options.get_option_index("attack.epsilon")
        screen.query_one("#value", Input).focus()
        await driver.until(lambda: screen.query_one("#value", Input).value == "8")
        await driver.press("ctrl+u")
        await driver.type("0.03")
        await driver.until(lambda: "it is in 1/255" in str(screen.query_one("#problem", Static).content))
        assert "less than a grey level" in driver.text()

    drive(act)


def test_all_that_is_wrong_with_a_new_run_is_told(cli: CommandLine) -> None:
    async def act(driver: Driver) -> None:
        await driver.press("n")
        screen = driver.app.screen
        problem = screen.query_one("#problem", Static)
        for field, text in (("seeds", "x"), ("jobs", "0"), ("retries", "often")):
            screen.query_one(f"#{field}", Input).focus()
            await driver.type(text)
        told = str(problem.content)
        assert len(told.split("\n")) == 3
        for words in ("seeds 'x'", "jobs per GPU 0", "retries often"):
            assert words in told
            assert words in driver.text()

    drive(act)
