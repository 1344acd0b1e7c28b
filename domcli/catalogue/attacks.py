"""The attacks that can be trained against."""

from __future__ import annotations

from dataclasses import dataclass

from domcli.catalogue.entry import Entry, Kind


@dataclass(frozen=True, kw_only=True)
class Attack(Entry):
    """A way to train: naturally, or against perturbations of gradient steps from a random start."""

    paradigm: str
    """What the paper calls training so, as in the names of presets."""
    fixed_steps: int | None = None
    """The steps that it takes whatever `attack.steps` says; None: those."""
    official_threshold: float | None = None
    """T of the paper on CIFAR-10; None of an attack that is not the official implementation's."""

    @property
    def needs_work(self) -> bool:
        """Whether something must do its work: this says it all."""
        return False

    @property
    def perturbs(self) -> bool:
        """Whether there is a perturbation at all."""
        return self.fixed_steps != 0

    @property
    def title(self) -> str:
        """What training so is called where presets are listed, with what it suffers from."""
        if not self.perturbs:
            return "Natural training (natural overfitting)"
        if self.one_step:
            return "Single-step adversarial training (catastrophic overfitting)"
        return "Multi-step adversarial training (robust overfitting)"

    @property
    def one_step(self) -> bool:
        """Whether it is a one-step attack, which is then tested beside PGD, too."""
        return self.fixed_steps == 1

    @property
    def several_steps(self) -> bool:
        """Whether it takes as many steps as `attack.steps` says, or several of its own."""
        return self.perturbs and not self.one_step

    def steps(self, wanted: int) -> int:
        """Return the gradient steps of one restart where `attack.steps` is `wanted`."""
        return wanted if self.fixed_steps is None else self.fixed_steps


ATTACKS = Kind(
    "attack",
    ("attack.name",),
    Attack,
    Attack(name="none", about="natural training", paradigm="natural", fixed_steps=0, official_threshold=0.2),
    Attack(
        name="fgsm",
        about="one step from a random start (RS-FGSM)",
        paradigm="fgsm",
        fixed_steps=1,
        official_threshold=2.0,
    ),
    Attack(name="pgd", about="several steps", paradigm="pgd", official_threshold=1.5),
)
