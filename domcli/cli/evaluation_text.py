"""Evaluations of checkpoints as text for people and as JSON for programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domcli import amounts
from domcli.cli import figures
from domcli.cli.options import shown_path
from domcli.compare.attacks import pgd_title
from domcli.plural import counted, plural

if TYPE_CHECKING:
    from domcli.evaluations import Evaluation, Plan
    from domcli.runs import Run

NORMS = {"linf": "L-infinity", "l2": "L2"}
SQUARE_SUSPECT = 0.002
"""If Square Attack, which sees no gradients, still fools this part of the images, gradients were hidden from the
others (the package's authors warn from there on)."""


@dataclass(frozen=True)
class InTraining:
    """What the training itself measured of the weights that were attacked: accuracies as fractions."""

    natural: float
    pgd: float | None
    attack: str
    """Its PGD with the steps, such as `PGD-20`."""
    precision: str

    @property
    def text(self) -> str:
        """Return `natural 70.00 %, PGD-20 54.50 % (bfloat16)`."""
        pgd = "" if self.pgd is None else f", {self.attack} {figures.percent(self.pgd)} %"
        return f"natural {figures.percent(self.natural)} %{pgd} ({self.precision})"


def in_training(run: Run, plan: Plan) -> InTraining | None:
    """Return what the training measured of these weights.

    None if it did not: weights from the middle of an epoch, or of an epoch without an evaluation, or of another run.
    """
    started = run.state.started
    if started is None or plan.step or Path(plan.checkpoint).is_absolute():
        return None
    test = next((end.test for end in run.state.epochs if end.epoch == plan.epoch), None)
    if test is None:
        return None
    evaluation = run.settings.get("evaluation")
    evaluation = evaluation if isinstance(evaluation, dict) else {}
    attack = pgd_title(evaluation.get("steps", "?"), evaluation.get("restarts"))
    return InTraining(test.natural_accuracy, test.pgd_accuracy, attack, started.precision)


def lines(run: Run, found: Evaluation) -> list[str]:
    """Return everything about one evaluation."""
    plan, trained = found.plan, in_training(run, found.plan)
    rows = [
        ("accuracy", f"{figures.percent(found.accuracy)} % of {_images(found)}"),
        ("natural", f"{figures.percent(found.natural_accuracy)} %"),
        ("attack", parameters(plan)),
        *([("during training", trained.text)] if trained else []),
    ]
    if len(found.stages) > 2:
        left = [f"{name} {figures.percent(accuracy)} %" for name, accuracy in found.stages.items()]
        rows.append(("left after", "  ".join(left)))
    rows += [
        ("time", f"{figures.duration(found.seconds)} on {found.device}, finished {_date(found)}"),
        ("kept in", shown_path(run.directory.evaluations / plan.name)),
    ]
    width = max(len(label) for label, _ in rows)
    text = [
        f"{run.directory.name}: {plan.title} on {checkpoint(plan)}",
        *(f"  {label:<{width}}  {text}" for label, text in rows),
    ]
    if _hides_gradients(found):
        text.append("  note: Square Attack lowered the accuracy after the gradient attacks; gradients may be masked")
    return text


def show_lines(run: Run, evaluations: list[Evaluation]) -> list[str]:
    """Return each evaluation of a run for `domcli show`, and what the training measured of the same weights."""
    found = []
    for one in evaluations:
        found.append(
            f"{one.plan.title} on {checkpoint(one.plan)}: {figures.percent(one.accuracy)} % of {_images(one)} (natural "
            f"{figures.percent(one.natural_accuracy)} %), {parameters(one.plan)}, {_date(one)}"
        )
        trained = in_training(run, one.plan)
        found += [f"  during training: {trained.text}"] if trained else []
    return found


def as_json(run: Run, found: Evaluation) -> dict[str, Any]:
    """Return an evaluation as `--json` writes it: accuracies are fractions, epsilon and alpha in 1/255."""
    import msgspec

    content: dict[str, Any] = msgspec.to_builtins(found)
    plan = content.pop("plan")
    path = str((run.directory.evaluations / found.plan.name).absolute())
    trained = in_training(run, found.plan)
    during = None
    if trained is not None:
        during = {"natural_accuracy": trained.natural, "pgd_accuracy": trained.pgd, "precision": trained.precision}
    about = {"run": run.directory.name, "title": found.plan.title}
    return {**about, **plan, **content, "during_training": during, "path": path}


def checkpoint(plan: Plan) -> str:
    """Return which weights were attacked: `best (epoch 190)`."""
    steps = f" and {counted(plan.step, 'step')}" if plan.step else ""
    return f"{Path(plan.checkpoint).stem} (epoch {plan.epoch}{steps})"


def parameters(plan: Plan) -> str:
    """Return the attack with what decides its strength."""
    parts = [f"{NORMS[plan.norm]}, epsilon {plan.epsilon:g}/255"]
    if plan.attack == "autoattack":
        return ", ".join(["standard version", *parts, "in float32", plan.package or ""])
    steps, starts = counted(plan.steps or 0, "step"), counted(plan.restarts or 0, "random start")
    return ", ".join([*parts, f"{steps} of {plan.alpha:g}/255", starts, "in float32"])


def _images(found: Evaluation) -> str:
    of = "" if found.is_complete else f" of {figures.count(found.test_images)}"
    last = found.images if found.is_complete else found.test_images
    return f"{figures.count(found.images)}{of} test {plural(last, 'image')}"


def _date(found: Evaluation) -> str:
    return amounts.date(found.date)


def _hides_gradients(found: Evaluation) -> bool:
    left = list(found.stages.values())
    return "square" in found.stages and left[-2] - left[-1] > SQUARE_SUSPECT
