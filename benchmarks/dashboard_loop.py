"""The dashboard with a beat in its event loop that tells how long nothing else could happen.

python benchmarks/dashboard_loop.py RUNS_DIR RESULTS.json [PROFILE]     # in a terminal
"""

from __future__ import annotations

import asyncio
import cProfile
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from domcli.dashboard import app
from domcli.dashboard.app import DomcliApp
from domcli.dashboard.source import DirectorySource

BREAK = 0.002
"""Seconds between two beats."""
Beat = Sequence[float]
"""When the beat came (monotonic), by how much too late, and the CPU time that the loop's thread used since the last."""


class BeatingApp(DomcliApp):
    """The dashboard that notes its own beats."""

    CSS_PATH = str(Path(app.__file__).with_name(DomcliApp.CSS_PATH))  # it is looked for beside the class

    def __init__(self, folder: Path) -> None:
        super().__init__(DirectorySource(folder))
        self.beats: list[Beat] = []

    def on_mount(self) -> None:
        # DomcliApp has its own, which is called as well.
        self.run_worker(self._beat(), exit_on_error=True)

    async def _beat(self) -> None:
        before, used = time.monotonic(), time.thread_time()
        while True:
            await asyncio.sleep(BREAK)
            now, work = time.monotonic(), time.thread_time()
            self.beats.append((now, now - before - BREAK, work - used))
            before, used = now, work


def longest(beats: Sequence[Beat], start: float, end: float) -> tuple[float, float]:
    """Return the longest that a beat between two times was late, and the most CPU time between two beats, seconds."""
    there = [beat for beat in beats if start <= beat[0] <= end]
    return max(late for _, late, _ in there), max(work for _, _, work in there)


def main() -> None:
    """Run the dashboard and write its beats when it is left."""
    folder, results, *profile = sys.argv[1:]
    beating = BeatingApp(Path(folder))
    if profile:
        cProfile.runctx("beating.run()", {"beating": beating}, {}, profile[0])
    else:
        beating.run()
    Path(results).write_text(json.dumps(beating.beats), encoding="utf-8")


if __name__ == "__main__":
    main()
