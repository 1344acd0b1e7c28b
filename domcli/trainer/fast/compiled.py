"""The network compiled: what lies between convolutions is fused, on which a GPU otherwise spends half of its time.

Eager autograd leaves out gradients that nobody asks for. A compiled backward pass computes all that its trace may need,
so there are two traces: the parameters of the one may get gradients, those of the other are frozen, for attacks.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection

import torch
from torch import Tensor, nn

from domcli.trainer.models import Classifier

TRACES = 32
"""Most traces of the network: train and eval mode, with gradients and without, of each batch size. Usually 7."""


class CompiledNetwork:
    """Returns the logits of a classifier, and its gradients, up to rounding; its state stays where it is.

    Batches of `sizes` images are compiled for when the first of each comes, which takes a minute at the first time and
    some seconds when PyTorch finds it in its cache. Others are computed as written.
    """

    def __init__(self, classifier: Classifier, sizes: Collection[int], backend: str = "inductor") -> None:
        self._classifier = classifier
        self._sizes = frozenset(sizes)
        self._frozen = frozen_twin(classifier)
        torch._dynamo.config.recompile_limit = max(TRACES, torch._dynamo.config.recompile_limit)
        self._learning = _compiled(classifier, backend)
        self._attacked = _compiled(self._frozen, backend)

    def __call__(self, images: Tensor) -> Tensor:
        """Return float32 logits of images in [0, 1]. Images that ask for a gradient get it, and nothing else does."""
        if len(images) not in self._sizes:
            return self._classifier(images)  # type: ignore[no-any-return]
        if not (images.requires_grad and torch.is_grad_enabled()):
            return self._learning(images)
        if self._frozen.training != self._classifier.training:
            self._frozen.train(self._classifier.training)
        return self._attacked(images)


def frozen_twin(classifier: Classifier) -> Classifier:
    """Return the classifier once more: its parameters ask for no gradients, and all memory is the original's."""
    twin = copy.deepcopy(classifier)
    for module, other in zip(classifier.modules(), twin.modules(), strict=True):
        for name, parameter in module.named_parameters(recurse=False):
            other.register_parameter(name, nn.Parameter(parameter.detach(), requires_grad=False))
        for name, buffer in module.named_buffers(recurse=False):
            other.register_buffer(name, buffer)
    return twin


def _compiled(classifier: Classifier, backend: str) -> Callable[[Tensor], Tensor]:
    return torch.compile(classifier.forward, fullgraph=True, dynamic=False, backend=backend)
