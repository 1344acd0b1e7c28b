"""The looks of the dashboard, as text: what stands on the screen is compared with the files in tests/data/pictures.

After a change that is meant, write the files anew and look at what is different in them:

    python tests/functional/test_dashboard_pictures.py
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest
import recorded
from textual import constants

from domcli.dashboard.app import DomcliApp
from domcli.dashboard.model import System, Wanted
from domcli.dashboard.replay import ReplaySource
from domcli.dashboard.source import DirectorySource, RunSource
from domcli.dashboard.themes import DARK
from domcli.events import Failed, Finished

PICTURES = Path(__file__).resolve().parents[1] / "data" / "pictures"
RUNS = Path("runs")
PATIENCE = 60.0
STEADY_SECONDS = 3.0
OUT_OF_MEMORY = Failed(cause="out-of-memory", reason="the device has too little memory; use a smaller batch")


class NoGpus(DirectorySource):
    """The runs of a folder on a machine that has no GPU."""

    def system(self) -> System:
        return System()


def replay() -> RunSource:
    """Return three runs in the middle of a replay: at work, finished, failed."""
    runs = [
        recorded.make("fgsm-baseline-seed0", 0),
        recorded.make("fgsm-baseline-seed1", 1, 9, Finished(seconds=600.0)),
        recorded.make("fgsm-baseline-seed2", 2, 5, OUT_OF_MEMORY),
    ]
    moments = iter([0.0])
    source = ReplaySource(RUNS, runs, 1.0, clock=lambda: next(moments, recorded.end_of_epoch(17) + 20))
    source.read(Wanted())  # the replay begins before anybody looks
    return source


def empty() -> RunSource:
    return NoGpus(RUNS)


SCENES: dict[str, tuple[Callable[[], RunSource], tuple[int, int], str]] = {
    "replay-160x45": (replay, (160, 45), ""),
    "replay-80x24": (replay, (80, 24), ""),
    "charts-80x24": (replay, (80, 24), "tab"),
    "empty-160x45": (empty, (160, 45), ""),
}


@pytest.mark.parametrize("name", SCENES)
def test_the_screen_looks_as_it_should(name: str, tmp_path: Path) -> None:
    wanted = (PICTURES / f"{name}.txt").read_text(encoding="utf-8")
    with folder(tmp_path):
        assert asyncio.run(look(name, lambda text: text == wanted)) == wanted


async def look(name: str, done: Callable[[str], bool]) -> str:
    """Return what is on the screen once that will do, or when it never does."""
    source, size, keys = SCENES[name]
    app = DomcliApp(source())
    app.theme = DARK.name
    async with app.run_test(size=size) as pilot:
        await pilot.press(*keys.split())
        deadline = time.monotonic() + PATIENCE
        while not done(text := screen(app)) and time.monotonic() < deadline:
            app.hurry()
            await pilot.pause(0.1)
    return text


def screen(app: DomcliApp) -> str:
    """Return the characters on the screen."""
    lines = app.screen._compositor.render_strips()
    return "".join(f"{line.text.rstrip()}\n" for line in lines)


@contextlib.contextmanager
def folder(path: Path) -> Iterator[None]:
    """Be in an empty folder, on a terminal with many colours."""
    before = Path.cwd()
    os.chdir(path)
    try:
        with mock.patch.object(constants, "COLOR_SYSTEM", "truecolor"), mock.patch.dict(os.environ):
            os.environ.pop("NO_COLOR", None)
            yield
    finally:
        os.chdir(before)


def write_pictures() -> None:
    """Write what is on the screen when nothing has moved for a while."""
    PICTURES.mkdir(exist_ok=True)
    for name in SCENES:
        seen: list[tuple[str, float]] = [("", 0.0)]

        def is_steady(text: str, seen: list[tuple[str, float]] = seen) -> bool:
            if text != seen[-1][0]:
                seen.append((text, time.monotonic()))
            return time.monotonic() - seen[-1][1] > STEADY_SECONDS

        with tempfile.TemporaryDirectory() as path, folder(Path(path)):
            text = asyncio.run(look(name, is_steady))
        (PICTURES / f"{name}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_pictures()
