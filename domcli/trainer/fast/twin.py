"""The classifier twice over the same memory: as it is, and frozen, for attacks.

An attack asks for the gradients of images alone. PyTorch's own operations then leave out those of the parameters; a
compiled backward pass does not, nor does an operation of our own: they compute what the parameters asked for when the
forward pass was made. Those of the frozen twin ask for nothing.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from domcli.trainer.fast.convolution import FastConv2d
from domcli.trainer.models import Classifier
from domcli.trainer.passes import Network


class Twins:
    """Returns the logits of a classifier: from the frozen twin where the images ask for a gradient."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._frozen = frozen_twin(classifier)

    def __call__(self, images: Tensor) -> Tensor:
        """Return float32 logits of images in [0, 1]."""
        return self.choose(images, self._classifier, self._frozen)(images)

    def choose(self, images: Tensor, learning: Network, frozen: Network) -> Network:
        """Return the one that computes these images; the frozen twin is in the classifier's mode by then."""
        if not (images.requires_grad and torch.is_grad_enabled()):
            return learning
        if self._frozen.training != self._classifier.training:
            self._frozen.train(self._classifier.training)
        return frozen


def frozen_twin(classifier: Classifier) -> Classifier:
    """Return the classifier once more: its parameters ask for no gradients, and all memory is the original's."""
    twin = copy.deepcopy(classifier)
    for module, other in zip(classifier.modules(), twin.modules(), strict=True):
        for name, parameter in module.named_parameters(recurse=False):
            other.register_parameter(name, nn.Parameter(parameter.detach(), requires_grad=False))
        for name, buffer in module.named_buffers(recurse=False):
            other.register_buffer(name, buffer)
        if isinstance(module, FastConv2d) and isinstance(other, FastConv2d):
            other.packed = module.packed
    return twin
