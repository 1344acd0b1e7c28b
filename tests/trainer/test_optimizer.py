"""Our SGD against PyTorch's."""

from __future__ import annotations

import torch
from torch import nn

from domcli.trainer.optimizer import SGD


def test_it_gives_the_numbers_of_torch_optim_sgd() -> None:
    torch.manual_seed(0)
    shapes = [(8, 3, 3, 3), (8,), (4, 8)]
    ours = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    theirs = [nn.Parameter(parameter.detach().clone()) for parameter in ours]
    optimizer = SGD(ours, momentum=0.9, weight_decay=5e-4)
    reference = torch.optim.SGD(theirs, lr=1.0, momentum=0.9, weight_decay=5e-4)
    for lr in (0.1, 0.1, 0.05, 0.01):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        optimizer.step(torch.tensor(lr, dtype=torch.float64))
        reference.param_groups[0]["lr"] = lr
        reference.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in ours)


def test_a_step_tells_that_the_parameters_have_changed() -> None:
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = SGD([parameter], momentum=0.9, weight_decay=0.0)
    parameter.grad = torch.ones(3)
    before = parameter._version
    optimizer.step(torch.tensor(0.1, dtype=torch.float64))
    assert parameter._version > before
