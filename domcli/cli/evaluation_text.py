"""Evaluations of checkpoints as text for people and as JSON for programs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from domcli.cli import figures
from domcli.cli.options import shown_path

if TYPE_CHECKING:
    from domcli.evaluations import Evaluation, Plan
    from domcli.rundir import RunDirectory

NORMS = {"linf": "L-infinity", "l2": "L2"}
SQUARE_SUSPECT = 0.002
"""If Square Attack, which sees no gradients, still fools this part of the images, gradients were hidden from the
others (the package's authors warn from there on)."""


def lines(run: RunDirectory, found: Evaluation) -> list[str]:
    """Return everything about one evaluation."""
    plan = found.plan
    rows = [
        ("accuracy", f"{figures.percent(found.accuracy)} % of {_images(found)}"),
        ("natural", f"{figures.percent(found.natural_accuracy)} %"),
        ("attack", parameters(plan)),
    ]
    if len(found.stages) > 2:
        left = [f"{name} {figures.percent(accuracy)} %" for name, accuracy in found.stages.items()]
        rows.append(("left after", "  ".join(left)))
    rows += [
        ("time", f"{figures.duration(found.seconds)} on {found.device}, finished {_date(found)}"),
        ("kept in", shown_path(run.evaluations / plan.name)),
    ]
    width = max(len(label) for label, _ in rows)
    text = [f"{run.name}: {plan.title} on {checkpoint(plan)}", *(f"  {label:<{width}}  {text}" for label, text in rows)]
    if _hides_gradients(found):
        text.append("  note: Square Attack lowered the accuracy after the gradient attacks; gradients may be masked")
    return text


def show_lines(evaluations: list[Evaluation]) -> list[str]:
    """Return a line for each evaluation of a run, for `domcli show`."""
    return [
        f"{found.plan.title} on {checkpoint(found.plan)}: {figures.percent(found.accuracy)} % of {_images(found)}, "
        f"{parameters(found.plan)}, {_date(found)}"
        for found in evaluations
    ]


def as_json(run: RunDirectory, found: Evaluation) -> dict[str, Any]:
    """Return an evaluation as `--json` writes it: accuracies are fractions, epsilon and alpha in 1/255."""
    import msgspec

    content: dict[str, Any] = msgspec.to_builtins(found)
    plan = content.pop("plan")
    path = str((run.evaluations / found.plan.name).absolute())
    return {"run": run.name, "title": found.plan.title, **plan, **content, "path": path}


def checkpoint(plan: Plan) -> str:
    """Return which weights were attacked: `best (epoch 190)`."""
    from pathlib import Path

    steps = f" and {plan.step} steps" if plan.step else ""
    return f"{Path(plan.checkpoint).stem} (epoch {plan.epoch}{steps})"


def parameters(plan: Plan) -> str:
    """Return the attack with what decides its strength."""
    parts = [f"{NORMS[plan.norm]}, epsilon {plan.epsilon:g}/255"]
    if plan.attack == "autoattack":
        return ", ".join(["standard version", *parts, plan.package or ""])
    starts = f"{plan.restarts} random start{'' if plan.restarts == 1 else 's'}"
    return ", ".join([*parts, f"{plan.steps} steps of {plan.alpha:g}/255", starts])


def _images(found: Evaluation) -> str:
    of = "" if found.is_complete else f" of {figures.count(found.test_images)}"
    return f"{figures.count(found.images)}{of} test images"


def _date(found: Evaluation) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(found.date))


def _hides_gradients(found: Evaluation) -> bool:
    left = list(found.stages.values())
    return "square" in found.stages and left[-2] - left[-1] > SQUARE_SUSPECT
