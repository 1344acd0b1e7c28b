"""SGD with momentum and weight decay, as few passes over the parameters as it takes.

torch.optim.SGD gives the same numbers; constructing it loads PyTorch's compiler, which takes seconds at every start.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class SGD:
    """v <- momentum * v + gradient + weight_decay * w, then w <- w - lr * v, for every parameter w."""

    def __init__(self, parameters: Iterable[nn.Parameter], momentum: float, weight_decay: float) -> None:
        self.parameters: list[Tensor] = list(parameters)
        self.velocity = [torch.zeros_like(parameter) for parameter in self.parameters]
        self._momentum = momentum
        self._weight_decay = weight_decay

    @torch.no_grad()
    def step(self, lr: Tensor) -> None:
        """Update every parameter from its gradient, in one pass; `lr` is of no dimensions, on their device."""
        gradients: list[Tensor] = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        torch._fused_sgd_(
            self.parameters,
            gradients,
            self.velocity,
            weight_decay=self._weight_decay,
            momentum=self._momentum,
            lr=lr,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            is_first_step=False,
        )
        # This operation does not tell that it has changed the parameters, and converted weights are kept by version.
        torch.autograd.graph.increment_version(self.parameters)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None
