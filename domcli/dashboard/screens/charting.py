"""When the charts are loaded, and how often they are drawn."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from domcli.dashboard.shown import Shown
from domcli.rundir import RunDirectory
from domcli.runs import Run

if TYPE_CHECKING:
    from domcli.dashboard.widgets.charts import ChartGrid

CHART_SECONDS = 1.0
"""Between two drawings of the charts while only the progress within an epoch changes."""
EMPTY = Run(RunDirectory(Path()))


class Pace:
    """Remembers what was drawn, and when."""

    def __init__(self) -> None:
        self._content: list[object] = []
        self._at = 0.0

    def is_due(self, shown: Sequence[Shown]) -> bool:
        """Tell whether to draw the charts: at once for anything but the progress within an epoch."""
        content: list[object] = [(one.run.state.epochs, one.run.status, replace(one, run=EMPTY)) for one in shown]
        now = time.monotonic()
        if content == self._content and now - self._at < CHART_SECONDS:
            return False
        self._content, self._at = content, now
        return True


def load_chart_grid() -> type[ChartGrid]:
    """Import the charts, which takes long."""
    from domcli.dashboard.widgets.charts import ChartGrid

    return ChartGrid


def load_screens() -> None:
    """Import what the actions import (see SteerActions), so that no key has to wait for it."""
    from domcli.dashboard.screens import compare, confirm, help, log, new_run  # noqa: F401
