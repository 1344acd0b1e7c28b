"""What the work of extensions must return, checked as it comes: a wrong shape would train, and mean nothing.

Only what is said of a tensor without asking its device is looked at. Domcli's own entries are tested instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from domcli.catalogue import Entry, Objective, Operation, ThresholdRule
from domcli.errors import SettingsError
from domcli.trainer.passes import Judgement, LossOf, Network


def made(entry: Entry, options: Mapping[str, float]) -> Callable[..., Any]:
    """Return an entry's work, its options set (see Entry.made); that of an extension with what it returns checked."""
    work = entry.made(options)
    if entry.is_own:
        return work
    if isinstance(entry, Objective):
        return lambda: _CheckedObjective(entry, work())
    if isinstance(entry, ThresholdRule):
        return lambda losses, threshold: _tensor(entry, work(losses, threshold), (), losses.dtype)
    if isinstance(entry, Operation) and entry.weighs:
        return lambda confident: _tensor(entry, work(confident), confident.shape, None)
    return lambda images: _tensor(entry, work(images), images.shape, images.dtype)


def check_network(entry: Entry, network: object, images: Sequence[int], classes: int) -> None:
    """Raise SettingsError if what is to be trained is no network for such images (channels, height, width)."""
    if entry.is_own:
        return
    if not isinstance(network, nn.Module) or not any(True for _ in network.parameters()):
        raise SettingsError(f"the network {entry.name} must be a torch module with parameters, and is {_kind(network)}")
    mode, random = network.training, torch.get_rng_state()
    with torch.no_grad():
        _tensor(entry, network.eval()(torch.zeros(2, *images)), (2, classes), None)
    network.train(mode)
    torch.set_rng_state(random)


class _CheckedObjective:
    """An extension's objective (see objectives.Objective)."""

    def __init__(self, entry: Entry, own: Any) -> None:
        self._entry = entry
        self._own = own
        self.judges_naturally = bool(own.judges_naturally)

    def raised(self, network: Network, images: Tensor) -> LossOf:
        """Return the loss that an attack raises, one for each image."""
        loss_of = self._own.raised(network, images)
        return lambda perturbed, labels: _tensor(self._entry, loss_of(perturbed, labels), labels.shape, torch.float32)

    def lowered(self, network: Network, images: Tensor, perturbed: Tensor, labels: Tensor) -> Judgement:
        """Return the losses that the update lowers, and the hits."""
        found = self._own.lowered(network, images, perturbed, labels)
        if not isinstance(found, Judgement):
            raise SettingsError(f"the objective {self._entry.name} must return a Judgement, and returns {_kind(found)}")
        _tensor(self._entry, found.losses, labels.shape, torch.float32)
        _tensor(self._entry, found.correct, labels.shape, torch.bool)
        return found


def _tensor(entry: Entry, found: object, shape: tuple[int, ...], dtype: torch.dtype | None) -> Tensor:
    """Return what an entry's work has returned. Raises SettingsError if it is no tensor of this shape and type."""
    typed = f" of {str(dtype).removeprefix('torch.')}" if dtype is not None else ""
    if not isinstance(found, Tensor) or found.shape != shape or dtype not in (None, found.dtype):
        raise SettingsError(
            f"what the extension does for {entry.name} must be a tensor of shape {list(shape)}{typed}, and is "
            f"{_kind(found)}"
        )
    return found


def _kind(found: object) -> str:
    if isinstance(found, Tensor):
        return f"one of shape {list(found.shape)} of {str(found.dtype).removeprefix('torch.')}"
    return "None" if found is None else f"a {type(found).__name__}"
