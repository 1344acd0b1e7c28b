"""The state behind the charts: which runs, how they are looked at, and the charts that follow from it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from domcli.charts import Axis, Chart, Limits, Series, pan, steady_limits, zoom
from domcli.dashboard import reading
from domcli.dashboard.columns import Array, Tables, XAxis, extent
from domcli.dashboard.curves import KINDS, Kind, View, chart_of, same, says_something
from domcli.dashboard.shown import Shown
from domcli.devices import Gpu
from domcli.runstate import RunState, epoch_fraction

HISTORY = 900
"""Samples of the GPUs that are kept."""
TICKS = 20
"""How often, at the most, the point of an epoch in progress moves."""
SMOOTHING = (0.0, 0.6, 0.9)
X_AXES: tuple[XAxis, ...] = ("epochs", "steps", "hours")
ROUND = (1, 1.5, 2, 3, 4, 5, 7.5, 10)
"""Where the x axis of runs in progress may end, times a power of ten."""
LEAST_SPAN = {"epochs": 4.0, "steps": 0.0, "hours": 0.0}
SYSTEM = (
    Kind("gpu", "GPU utilisation", "GPU", Axis("percent")),
    Kind("gpu-memory", "GPU memory", "GPU memory", Axis("number", "GiB")),
)
AGO = Axis("hours", "h:mm ago")


class Viewer:
    """What is shown and how; each change is a method, each chart is drawn from `chart`. Knows nothing of widgets."""

    def __init__(self) -> None:
        self.view = View()
        self.runs: tuple[Shown, ...] = ()
        self.tables = Tables()
        self._limits: dict[str, Limits] = {}
        self._charts: dict[str, tuple[tuple[object, ...], Chart]] = {}
        self._gpus: deque[tuple[float, tuple[Gpu, ...]]] = deque(maxlen=HISTORY)
        self._known: tuple[tuple[Shown, ...], tuple[Kind, ...]] = (self.runs, KINDS)
        self._fixed: float | None = None
        """Where the cursor stays when the mouse has left."""

    def show(self, runs: Sequence[Shown]) -> bool:
        """Show these runs; return whether anything is different from before."""
        runs = tuple(runs)
        if len(runs) == len(self.runs) and all(map(_unchanged, self.runs, runs)):
            return False
        if [one.label for one in runs] != [one.label for one in self.runs]:
            self._limits.clear()
        self.runs = runs
        self.tables.keep([one.run for one in runs])
        if not runs:
            self.view = replace(self.view, window=None, cursor=None)
        return True

    def show_system(self, gpus: Sequence[Gpu], at: float) -> None:
        """Add a sample of the GPUs, taken at `at` (seconds)."""
        self._gpus.append((at, tuple(gpus)))

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The charts there are: those that the runs have values for, and those of GPUs where there is one."""
        finished = any(one.run.state.epochs for one in self.runs)
        if self._known[0] is not self.runs:
            known = tuple(kind for kind in KINDS if not finished or says_something(kind, self.runs, self.tables))
            self._known = self.runs, known or KINDS
        return self._known[1] + (SYSTEM if any(gpus for _, gpus in self._gpus) else ())

    def is_over_epochs(self, key: str) -> bool:
        """Tell whether a chart has the common x axis, with cursor and window, and not its own."""
        return all(kind.key != key for kind in SYSTEM)

    def chart(self, key: str) -> Chart:
        """Return a chart as it is to be drawn now: the same object as before, if nothing about it has changed."""
        kind = self._kind(key)
        inputs = (self._gpus[-1],) if kind in SYSTEM else (self.runs, replace(self.view, cursor=None))
        known, before = self._charts.get(key, ((), None))
        if before is not None and _alike(known, inputs):
            return before
        made = self._system_chart(kind) if kind in SYSTEM else self._epoch_chart(kind)
        if before is not None and same(before, made):
            made = before
        self._charts[key] = inputs, made
        return made

    def _kind(self, key: str) -> Kind:
        return next(kind for kind in KINDS + SYSTEM if kind.key == key)

    def _epoch_chart(self, kind: Kind) -> Chart:
        chart = chart_of(kind, self.runs, self.tables, self.view, self._whole())
        if chart.y_limits is None and (wanted := chart.wanted_y()) is not None:
            if not chart.y.log:  # nothing shown is negative, but mean minus deviation may be
                wanted = (0.0 if kind.from_zero else max(0.0, wanted[0]), wanted[1])
            limits = self._limits[kind.key] = steady_limits(self._limits.get(kind.key), wanted, chart.y)
            chart = replace(chart, y_limits=limits)
        return chart

    def _system_chart(self, kind: Kind) -> Chart:
        """Return utilisation or memory of every GPU over the last minutes."""
        now = self._gpus[-1][0]
        times = np.array([(at - now) / 3600 for at, _ in self._gpus])
        latest = self._gpus[-1][1]
        series = tuple(
            Series(f"{gpu.index}" if len(latest) > 1 else "", times, self._sampled(gpu, kind), number)
            for number, gpu in enumerate(latest)
        )
        total = max((gpu.memory_total for gpu in latest), default=0) / 2**30
        limits = (0.0, 1.0) if kind.key == "gpu" or not total else (0.0, total)
        first = min(float(times[0]), -1 / 12)
        return Chart(series, AGO, kind.y, x_limits=(first, 0.0), y_limits=limits, title=kind.title)

    def _sampled(self, gpu: Gpu, kind: Kind) -> Array:
        values = []
        for _, gpus in self._gpus:
            found = next((one for one in gpus if one.uuid == gpu.uuid), None)
            if found is None or (kind.key == "gpu" and found.utilization is None):
                values.append(np.nan)
            else:
                values.append((found.utilization or 0) / 100 if kind.key == "gpu" else found.memory_used / 2**30)
        return np.array(values, np.float64)

    def _whole(self) -> Limits:
        """Return the x limits of everything: to the last epoch or, while a run is at work, a round value after it."""
        axis = self.view.axis
        low, high = extent([self.tables.of(one.run) for one in self.runs], axis)
        if not any(one.run.status in ("running", "starting") for one in self.runs):
            return low, high
        power = 10.0 ** np.floor(np.log10(high))
        rounded = float(next(factor * power for factor in ROUND if factor * power >= high * (1 - 1e-9)))
        planned = [one.run.state.started for one in self.runs]
        ends = [one.epochs * (one.steps_per_epoch if axis == "steps" else 1) for one in planned if one is not None]
        return low, rounded if axis == "hours" or not ends else max(high, min(rounded, float(max(ends))))

    def next_axis(self) -> XAxis:
        """Go on to the next x axis; window and cursor stay at the same epochs of the first run."""
        old = self.view.axis
        new = X_AXES[(X_AXES.index(old) + 1) % len(X_AXES)]
        window, cursor = self.view.window, self.view.cursor
        if self.runs:
            moved = self.tables.of(self.runs[0].run).moved
            window = None if window is None else (moved(window[0], old, new), moved(window[1], old, new))
            cursor = None if cursor is None else moved(cursor, old, new)
        self._fixed = cursor
        self.view = replace(self.view, axis=new, window=window, cursor=cursor)
        return new

    def next_smoothing(self) -> float:
        """Go on to the next weight of the smoothing."""
        weight = SMOOTHING[(SMOOTHING.index(self.view.smoothing) + 1) % len(SMOOTHING)]
        self.view = replace(self.view, smoothing=weight)
        return weight

    def toggle_log(self) -> bool:
        """Turn logarithmic y axes on or off."""
        self._limits.clear()
        self.view = replace(self.view, log=not self.view.log)
        return self.view.log

    def toggle_grouped(self) -> bool:
        """Bring the seeds of a setting together, or show each."""
        self.view = replace(self.view, grouped=not self.view.grouped)
        return self.view.grouped

    def zoom(self, factor: float, at: float | None = None) -> None:
        """Look closer by a factor, around `at`, the cursor, or the middle."""
        whole = self._whole()
        window = self.view.window or whole
        if at is None:
            at = self.view.cursor if self.view.cursor is not None else sum(window) / 2
        window = zoom(window, factor, at, whole, least=LEAST_SPAN[self.view.axis])
        self._set_window(window, whole)

    def pan(self, share: float) -> None:
        """Move by a share of what is seen."""
        whole = self._whole()
        if self.view.window is not None:
            self._set_window(pan(self.view.window, share, whole), whole)

    def _set_window(self, window: Limits, whole: Limits) -> None:
        all_of_it = window[0] <= whole[0] and window[1] >= whole[1]
        self.view = replace(self.view, window=None if all_of_it else window)

    def reset(self) -> None:
        """See everything again, with fresh y axes and no cursor."""
        self._limits.clear()
        self._charts.clear()
        self._fixed = None
        self.view = replace(self.view, window=None, cursor=None)

    def point(self, x: float | None) -> None:
        """Put the cursor on the epoch nearest to `x`, or take it away."""
        places = self._places()
        cursor = None if x is None or not places.size else float(places[np.abs(places - x).argmin()])
        self.view = replace(self.view, cursor=cursor)

    def hover(self, x: float | None, *, fixed: bool = False) -> None:
        """Let the cursor follow the mouse: to `x`, or back to where it was fixed last."""
        self.point(self._fixed if x is None else x)
        if fixed:
            self._fixed = self.view.cursor

    def step(self, by: int) -> None:
        """Move the cursor by so many epochs, beginning at the last that is seen, and let it stay there."""
        places, window = self._places(), self.view.window or self._whole()
        seen = places[(places >= window[0]) & (places <= window[1])]
        if self.view.cursor is None:
            self.point(float(seen[-1]) if seen.size else None)
        elif places.size:
            now = int(np.searchsorted(places, self.view.cursor))
            self.point(float(places[min(max(now + by, 0), places.size - 1)]))
            self._follow()
        self._fixed = self.view.cursor

    def _follow(self) -> None:
        """Move the window so far that the cursor is in it."""
        window, cursor = self.view.window, self.view.cursor
        if window is not None and cursor is not None and not window[0] <= cursor <= window[1]:
            span = window[1] - window[0]
            side = cursor - window[1] if cursor > window[1] else cursor - window[0]
            self._set_window(pan(window, side / span, self._whole()), self._whole())

    def _places(self) -> Array:
        places = [self.tables.of(one.run).x(self.view.axis) for one in self.runs]
        return np.unique(np.concatenate(places)) if places else np.empty(0)

    def cursor(self, key: str) -> float | None:
        """Return where the cursor stands in a chart."""
        return self.view.cursor if self.is_over_epochs(key) else None

    def notes(self, key: str) -> tuple[reading.Note, ...]:
        """Return what the cursor reads in a chart (see `reading.notes`)."""
        if self.view.cursor is None or not self.is_over_epochs(key):
            return ()
        return reading.notes(self.chart(key), self._kind(key), self.runs, self.tables, self.view)

    def entries(self, key: str) -> tuple[reading.Entry, ...]:
        """Return a large legend of a chart (see `reading.entries`)."""
        if not self.is_over_epochs(key):
            return ()
        return reading.entries(self.chart(key), self._kind(key), self.runs, self.tables, self.view)

    def place(self) -> str:
        """Return where the cursor is, in words."""
        return reading.place(self.view, self.runs, self.tables)

    def settings(self) -> str:
        """Return what is unusual about the view, in a few words."""
        view = self.view
        words = [f"x: {view.axis}"]
        words += [f"smooth {view.smoothing:g}"] if view.smoothing else []
        words += ["log y (not %)"] if view.log else []
        words += ["seeds: mean ± s.d."] if view.grouped else []
        words += ["zoomed"] if view.window else []
        return " · ".join(words)

    def sentence(self, width: int) -> str:
        """Return what the cursor reads (see `reading.sentence`)."""
        return reading.sentence(self.view, self.runs, self.tables, width)


def _alike(known: tuple[object, ...], inputs: tuple[object, ...]) -> bool:
    """Tell whether the first input is the same object as before and the others are equal."""
    return bool(known) and known[0] is inputs[0] and known[1:] == inputs[1:]


def _tick(state: RunState) -> tuple[object, ...] | None:
    """Return how far the epoch in progress is in parts that a chart can show; None if nothing is in progress."""
    progress = state.progress
    if progress is None:
        return None
    part = int(TICKS * epoch_fraction(state))
    return progress.epoch, progress.phase, part, progress.natural_loss is None, progress.robust_loss is None


def _unchanged(before: Shown, now: Shown) -> bool:
    """Tell whether a run is shown as before, without looking into its epochs."""
    old, new = before.run, now.run
    return before is now or (
        old.state.epochs is new.state.epochs
        and _tick(old.state) == _tick(new.state)
        and old.state.started is new.state.started
        and old.status == new.status
        and old.settings == new.settings
        and old.directory == new.directory
        and replace(before, run=new) == now
    )
