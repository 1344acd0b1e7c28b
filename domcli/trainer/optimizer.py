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
    def step(self, lr: float) -> None:
        """Update every parameter from its gradient."""
        gradients: list[Tensor] = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        torch._foreach_mul_(self.velocity, self._momentum)
        torch._foreach_add_(self.velocity, gradients)
        torch._foreach_add_(self.velocity, self.parameters, alpha=self._weight_decay)
        torch._foreach_add_(self.parameters, self.velocity, alpha=-lr)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None
