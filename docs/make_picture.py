"""Make the picture of the README, docs/dashboard.svg, from the replay of runs.

    python docs/make_picture.py RUN... [--part 0.9] [--mark] [--size 160x45]

Nothing of the machine is in it but its processor: runs are shown as if they lay in `runs/`.
"""

from __future__ import annotations

import argparse
import asyncio
import html
import os
import re
import shutil
import tempfile
import time
from pathlib import Path

from domcli.dashboard.app import DomcliApp
from domcli.dashboard.replay import ReplaySource, play_times, read_events
from domcli.dashboard.themes import DARK
from domcli.rundir import RunDirectory

HERE = Path(__file__).resolve().parent
STEADY_SECONDS = 3.0
TEXT = re.compile(
    r'<text(?P<before> class="[^"]*-r\d+" )x="(?P<x>[\d.]+)"(?P<between> y="[\d.]+") textLength="(?P<length>[\d.]+)"'
    r"(?P<after>[^>]*)>(?P<text>[^<]*)</text>"
)
SHOWN = ("settings.toml", "events.jsonl")


def main() -> None:
    """Play the runs to the wanted part, and take the picture."""
    parser = argparse.ArgumentParser(description="Make the picture of the README from the replay of a run.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="directories of runs")
    parser.add_argument("--part", type=float, default=0.9, help="how much of the longest run is shown (default: 0.9)")
    parser.add_argument("--mark", action="store_true", help="mark all runs, which shows them in the same charts")
    parser.add_argument("--size", default="160x45", help="columns and lines (default: 160x45)")
    options = parser.parse_args()
    columns, lines = map(int, options.size.split("x"))
    sources = [path.resolve() for path in options.runs]
    os.environ.update({"TERM": "xterm-256color", "COLORTERM": "truecolor"})
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        runs = [copy(path) for path in sources]
        seconds = options.part * max(play_times(read_events(run))[-1] for run in runs)
        asyncio.run(take(runs, seconds, (columns, lines), mark=options.mark))


def copy(path: Path) -> RunDirectory:
    """Copy what is shown of a run, but nothing that tells where it was done."""
    target = Path("runs") / path.name
    target.mkdir(parents=True)
    for name in SHOWN:
        shutil.copyfile(path / name, target / name)
    preset = RunDirectory(path).read_environment().get("preset")
    run = RunDirectory(target)
    run.update_environment({"preset": preset, "command_line": f"domcli run {preset}"})
    return run


async def take(runs: list[RunDirectory], seconds: float, size: tuple[int, int], *, mark: bool) -> None:
    """Write the picture."""
    moments = iter([0.0])
    app = DomcliApp(ReplaySource(Path("runs"), runs, 1.0, clock=lambda: next(moments, seconds)))
    app.theme = DARK.name
    async with app.run_test(size=size) as pilot:
        await steady(app)
        if mark:
            await pilot.press("home", *["space"] * len(runs), "home")
            await steady(app)
        (HERE / "dashboard.svg").write_text(aligned(app.export_screenshot(title="domcli dashboard")), encoding="utf-8")


def aligned(svg: str) -> str:
    """Give every character that is not plain its own place: fonts draw those of charts in widths of their own."""

    def place(found: re.Match[str]) -> str:
        start, length, text = float(found["x"]), float(found["length"]), html.unescape(found["text"])
        if text.isascii() or not text.strip():
            return found[0]
        width = length / len(text)
        kept = [(number, one) for number, one in enumerate(text) if not one.isspace()]
        places = " ".join(f"{start + width * number:.1f}".removesuffix(".0") for number, _ in kept)
        characters = html.escape("".join(one for _, one in kept))
        return f'<text{found["before"]}x="{places}"{found["between"]}{found["after"]}>{characters}</text>'

    return TEXT.sub(place, svg)


async def steady(app: DomcliApp) -> None:
    """Wait until nothing has moved for a while."""
    before, since = "", time.monotonic()
    while time.monotonic() - since < STEADY_SECONDS:
        app.hurry()
        await asyncio.sleep(0.1)
        now = app.export_screenshot()
        if now != before:
            before, since = now, time.monotonic()


if __name__ == "__main__":
    main()
