"""Attacks of `domcli evaluate` as accuracies of a comparison: what tells them apart, and what they are called."""

from __future__ import annotations

import re
from dataclasses import dataclass

from domcli.evaluations import Evaluation

AUTOATTACK = "aa"
"""AutoAttack as the paper reports it: L-infinity, 8/255, the whole test set."""

STANDARD = ("linf", 8.0, 2.0)
"""Norm, radius and step of PGD (1/255) that are not named: those of the paper's PGD-20."""

GRAMMAR = re.compile(r"(aa|pgd-\d+(-\d+)?)(-l2)?(-eps[\d.]+)?(-alpha[\d.]+)?(-images\d+)?")
"""What `metric` can be."""


@dataclass(frozen=True)
class Attack:
    """An attack with what decides its strength; results of equal ones are the same quantity."""

    autoattack: bool
    steps: int
    restarts: int
    """Of PGD; 0 steps and restarts for AutoAttack, whose standard version fixes its own."""
    norm: str
    epsilon: float
    """Radius in 1/255."""
    alpha: float
    """Step of PGD in 1/255; 0 for AutoAttack."""
    images: int
    """Test images that were attacked, 0 for all."""

    @property
    def order(self) -> tuple[object, ...]:
        """Return where it stands among others: PGD by its steps and restarts, then AutoAttack."""
        return (self.autoattack, self.steps, self.restarts, self.norm != STANDARD[0], *self._numbers())

    @property
    def metric(self) -> str:
        """Return its name in `--assert` and in data: `aa`, `pgd-50-10`, `pgd-50-10-eps4-images500`."""
        parts = ["aa" if self.autoattack else self._pgd().lower()]
        parts += [name.replace(" ", "") for name in self._unusual("l2", "eps {:g}", "alpha {:g}", "images {}")]
        return "-".join(parts)

    @property
    def title(self) -> str:
        """Return its name in tables: `AutoAttack`, `PGD-50-10`, `PGD-50-10 (epsilon 4, 500 images)`."""
        unusual = ", ".join(self._unusual("L2", "epsilon {:g}", "alpha {:g}", "{} images"))
        name = "AutoAttack" if self.autoattack else self._pgd()
        return f"{name} ({unusual})" if unusual else name

    @property
    def options(self) -> str:
        """Return the options of `domcli evaluate` that ask for it of any run."""
        radius = f"--norm {self.norm} --epsilon {self.epsilon:g}"
        images = f" --images {self.images}" if self.images else ""
        if self.autoattack:
            return f"--attack autoattack {radius}{images}"
        return f"--attack pgd {radius} --alpha {self.alpha:g} --steps {self.steps} --restarts {self.restarts}{images}"

    def _pgd(self) -> str:
        return pgd_title(self.steps, self.restarts)

    def _numbers(self) -> tuple[float, float, int]:
        return self.epsilon, self.alpha, self.images

    def _unusual(self, l2: str, epsilon: str, alpha: str, images: str) -> list[str]:
        """Return the parameters that are not the standard ones, in these words."""
        norm, radius, step = STANDARD
        return [
            *([l2] if self.norm != norm else []),
            *([epsilon.format(self.epsilon)] if self.epsilon != radius else []),
            *([alpha.format(self.alpha)] if not self.autoattack and self.alpha != step else []),
            *([images.format(self.images)] if self.images else []),
        ]


def attack_of(evaluation: Evaluation) -> Attack:
    """Return what an evaluation attacked with."""
    plan = evaluation.plan
    return Attack(
        autoattack=plan.attack == "autoattack",
        steps=plan.steps or 0,
        restarts=plan.restarts or 0,
        norm=plan.norm,
        epsilon=plan.epsilon,
        alpha=plan.alpha or 0.0,
        images=0 if evaluation.is_complete else evaluation.images,
    )


def pgd_title(steps: object, restarts: object) -> str:
    """Return `PGD-20`, with the restarts where there are several: `PGD-50-10`."""
    return f"PGD-{steps}" + (f"-{restarts}" if restarts not in (None, 1) else "")
