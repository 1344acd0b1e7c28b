"""What a benchmark has found, as the JSON object that it is handed on and kept as; no torch.

`schema` is raised when a key changes its meaning. Times are in seconds, shares from 0 to 1. `cases` hold every
measurement beside the medians; `presets` the estimates, with what was measured for them and what was extrapolated;
`limits` what the device can do. A `plain` that is null was not asked for. `complete` is false where not everything
asked for was measured. Older files without `schema` are those of the script that came before, with the same `cases`.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

from domcli import __version__, devices
from domcli.presets import available, resolve
from domcli.settings import Settings
from domcli.sharing import figures
from domcli.timing.estimate import (
    Measured,
    MeasuredEvaluation,
    MeasuredStep,
    NotMeasured,
    PlainEvaluation,
    against_plain,
    estimate,
)
from domcli.timing.kept import Conditions
from domcli.trainer.bench.cases import CASES, NETWORK, TEST_IMAGES, Options, steps_of
from domcli.trainer.bench.floor import floor
from domcli.trainer.bench.messages import Machine, Measurement

SCHEMA = 1
ASSUMPTIONS = (
    "synthetic images of CIFAR's size; about half of each batch is high-confidence, which decides what DOM_DA costs",
    "the evaluation is timed as if no attack succeeded, the most that it can cost",
    "before the warm-up's end DOM costs nothing, so the step is that of the baseline",
    "the smaller last batch of an epoch counts as a whole one; checkpoints and the start are left out",
)


@dataclass
class Case:
    """A case and what has been measured of it."""

    name: str
    settings: Settings
    measured: dict[str, list[Measurement]] = field(default_factory=lambda: {"plain": [], "domcli": []})
    evaluations: list[float] = field(default_factory=list)
    """Seconds for each image."""
    plain_evaluations: list[PlainEvaluation] = field(default_factory=list)
    environments: dict[str, dict[str, Any]] = field(default_factory=dict)
    problem: str | None = None


class Report:
    """Everything found so far."""

    def __init__(self, options: Options, machine: Machine) -> None:
        self.machine = machine
        self.cases: list[Case] = []
        self._options = options
        self._date = datetime.now(timezone.utc).isoformat(timespec="seconds")
        overrides = [f"model.width={options.width}", f"train.batch_size={options.batch_size}"]
        self._presets = {preset.name: resolve(preset.name, overrides) for preset in available()}

    def content(self, complete: bool) -> dict[str, Any]:
        """Return the object."""
        sides = [case.environments for case in self.cases if case.environments]
        domcli = sides[-1].get("domcli", {}) if sides else {}
        plain = next((found["plain"] for found in sides if "plain" in found), None)
        environment = {key: value for key, value in self.machine.environment.items() if key != "threads"}
        return {
            "schema": SCHEMA,
            "complete": complete and not any(case.problem for case in self.cases),
            "date": self._date,
            "domcli": __version__,
            **environment,
            "threads": {"plain": plain and plain["threads"], "domcli": domcli.get("threads")},
            "engine": domcli.get("engine", {}),
            "model": NETWORK,
            "width": self._options.width,
            "batch_size": self._options.batch_size,
            "quick": self._options.quick,
            "threshold": self.machine.threshold,
            "limits": asdict(self.machine.limits),
            "cases": [self._case(case) for case in self.cases if case.problem or case.measured["domcli"]],
            "presets": self._estimates(),
            "assumptions": list(ASSUMPTIONS),
        }

    def _case(self, case: Case) -> dict[str, Any]:
        domcli = _side(case.measured["domcli"], self._options.batch_size)
        found: dict[str, Any] = {
            "case": case.name,
            "preset": CASES[case.name],
            "problem": case.problem,
            "steps_per_measurement": steps_of(case.settings, self.machine.device_type),
            "domcli": domcli,
            "plain": _side(case.measured["plain"], self._options.batch_size),
            **_ratios(case.measured["plain"], case.measured["domcli"]),
            "floor": None,
            "evaluation": None,
        }
        if domcli is not None:
            precision = self.machine.environment["precision"]
            least = floor(case.settings, domcli["high_confidence"], precision, self.machine.limits)
            found["floor"] = least.against(domcli["seconds"])
        if case.evaluations:
            found["evaluation"] = {
                "seconds_per_image": statistics.median(case.evaluations),
                "images": TEST_IMAGES[self.machine.device_type],
                "measurements": case.evaluations,
            }
        found["plain_evaluation"] = [asdict(one) for one in case.plain_evaluations]
        return found

    def conditions(self) -> Conditions:
        """Return under which conditions it is measured."""
        about = self.machine.environment
        cores = devices.cpu_count() if self.machine.device_type == "cpu" else None
        return Conditions(device=about["device_name"], cores=cores, torch=figures.torch_version(), domcli=__version__)

    def _estimates(self) -> list[dict[str, Any]]:
        measured = self.measured()
        return [_estimate(name, settings, measured) for name, settings in self._presets.items()]

    def measured(self) -> Measured:
        """Return the medians of what has been measured."""
        measured = Measured()
        for case in self.cases:
            if steps := [one.seconds for one in case.measured["domcli"]]:
                measured.add_step(case.settings, MeasuredStep(case.name, statistics.median(steps)))
            if case.evaluations:
                images = TEST_IMAGES[self.machine.device_type]
                seconds = images * statistics.median(case.evaluations)
                measured.add_evaluation(case.settings, MeasuredEvaluation(case.name, seconds, images))
            if steps := [one.seconds for one in case.measured["plain"]]:
                measured.add_plain_step(case.settings, statistics.median(steps))
            if case.plain_evaluations:
                measured.plain_evaluation = min(case.plain_evaluations, key=lambda one: one.test + one.train)
        return measured


def _estimate(name: str, settings: Settings, measured: Measured) -> dict[str, Any]:
    try:
        found = estimate(settings, measured)
        return {"preset": name, "problem": None, **found, **against_plain(settings, measured, found)}
    except NotMeasured as missing:
        return {"preset": name, "problem": str(missing)}


def _side(measurements: Sequence[Measurement], images: int) -> dict[str, Any] | None:
    """Return the medians of a side and what they come to; None where nothing was measured."""
    if not measurements:
        return None
    medians = {
        key: statistics.median(getattr(one, key) for one in measurements)
        for key in ("seconds", "cpu", "loading", "high_confidence")
    }
    rates = {"steps_per_second": 1 / medians["seconds"], "images_per_second": images / medians["seconds"]}
    return {**medians, **rates, "measurements": [asdict(one) for one in measurements]}


def _ratios(plain: Sequence[Measurement], domcli: Sequence[Measurement]) -> dict[str, Any]:
    """Return plain over domcli, pair by pair: median, and all of them; None where there is no pair."""
    pairs = list(zip(plain, domcli, strict=False))
    ratios = [one.seconds / other.seconds for one, other in pairs]
    return {
        "ratio": statistics.median(ratios) if pairs else None,
        "ratios": ratios,
        "cpu_ratio": statistics.median(one.cpu / other.cpu for one, other in pairs) if pairs else None,
    }
