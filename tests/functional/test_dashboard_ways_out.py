"""What leaves the dashboard: nothing in a run's texts reaches the terminal as a command, and pictures of the screen."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import made_runs
import pytest
from conftest import CommandLine
from dashboard_driver import Driver, drive
from rich.segment import Segment
from terminal import Terminal
from textual.color import Color

from domcli.dashboard.ways_out import PrintableFilter, write_new
from domcli.events import Failed

TITLE = "\x1b]0;OWNED\x07\x1b]2;OWNED\x07"
BELL = "\x07"
POINTER = re.compile(r"\x1b\]22;[a-z]*\x07")
"""How Textual asks for a shape of the pointer."""
TEXT = f"gone{TITLE}\x9b2J\u202e\x1b[2J{BELL}!"


@pytest.fixture
def run(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run that failed, with commands to terminals in every text that is shown of it."""
    monkeypatch.setitem(made_runs.ENDINGS, "failed", Failed(cause="error", reason=TEXT))
    made = made_runs.make("a-run", "failed", preset=f"preset{TITLE}")
    made.log.write_text(f"logged{TEXT}\n", encoding="utf-8")
    environment = json.loads(made.environment.read_text())
    environment |= {"hostname": TEXT, "command_line": TEXT, "git_commit": TEXT, "platform": f"platform{TEXT}"}
    made.environment.write_text(json.dumps(environment))
    return made.name


def test_no_text_of_a_run_is_obeyed_by_the_terminal(cli: CommandLine, run: str) -> None:
    terminal = Terminal(cli.command("dashboard"), columns=160, lines=45)
    terminal.wait_for(r"gone\\x1b\]0;OWNED")
    terminal.press(b"l")
    terminal.wait_for(r"loggedgone\\x1b")
    terminal.press(b"q")
    assert terminal.end() == 0
    written = POINTER.sub("", terminal.raw)
    assert "OWNED" in written
    assert "\x1b]" not in written
    assert not {BELL, "\x9b", "\u202e"} & set(written)


def test_every_line_stays_as_wide_as_it_was_laid_out() -> None:
    line = [Segment("a\x1bb"), Segment("\u202ec\udcff"), Segment("漢"), Segment("    ")]
    shown = PrintableFilter().apply(line, Color(0, 0, 0))
    assert "".join(segment.text for segment in shown) == r"a\x1bb\u20"
    assert Segment.get_line_length(shown) == Segment.get_line_length(line)
    plain = [Segment("plain"), Segment(" 漢 👩‍🔬")]
    assert PrintableFilter().apply(plain, Color(0, 0, 0)) == plain


def test_a_picture_of_the_screen_goes_to_the_current_folder(cli: CommandLine, run: str, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(Path("nowhere").absolute()))

    async def act(driver: Driver) -> None:
        for count in (1, 2):
            driver.app.deliver_screenshot("picture.svg")
            await driver.until(lambda count=count: len(driver.notes) == count)
        assert driver.notes == [str(Path(name).absolute()) for name in ("picture.svg", "picture-2.svg")]

    drive(act)
    for name in ("picture.svg", "picture-2.svg"):
        picture = Path(name).read_text(encoding="utf-8")
        assert picture.startswith("<svg")
        assert "\x1b" not in picture


def test_the_palette_takes_the_picture(cli: CommandLine, run: str, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(Path("nowhere").absolute()))

    async def act(driver: Driver) -> None:
        commands = {one.title: one.callback for one in driver.app.get_system_commands(driver.app.screen)}
        commands["Screenshot"]()
        await driver.until(lambda: driver.notes)
        (written,) = driver.notes
        assert Path(written).parent == Path.cwd()
        assert Path(written).read_text(encoding="utf-8").startswith("<svg")

    drive(act)


def test_a_folder_that_takes_no_file_is_said(cli: CommandLine, run: str) -> None:
    async def act(driver: Driver) -> None:
        driver.app.deliver_screenshot("picture.svg", "missing")
        await driver.until(lambda: driver.notes)
        assert driver.notes == ["cannot write picture.svg: No such file or directory"]

    drive(act)


def test_nothing_is_overwritten_and_no_half_stays(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.svg"
    path.symlink_to("elsewhere")
    assert write_new(path, b"one") == tmp_path / "a-2.svg"
    assert write_new(path, b"two") == tmp_path / "a-3.svg"
    assert (tmp_path / "a-2.svg").read_bytes() == b"one"
    assert not (tmp_path / "elsewhere").exists()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_new(path, b"three")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a-2.svg", "a-3.svg", "a.svg"]
