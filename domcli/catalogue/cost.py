"""What a step and an evaluation cost: passes through the network over one image, each about a forward pass."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Passes:
    """Passes over one image: forward, gradient towards the input, gradient towards the weights. Each costs F."""

    forward: float
    input_gradient: float
    weight_gradient: float

    def __add__(self, other: Passes) -> Passes:
        """Return both one after the other."""
        return Passes(
            self.forward + other.forward,
            self.input_gradient + other.input_gradient,
            self.weight_gradient + other.weight_gradient,
        )

    @property
    def total(self) -> float:
        """The sum, in F."""
        return self.forward + self.input_gradient + self.weight_gradient
