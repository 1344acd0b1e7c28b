"""The network compiled: what lies between convolutions is fused, on which a GPU otherwise spends half of its time."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from domcli.trainer.fast.twin import Twins
from domcli.trainer.models import Classifier
from domcli.trainer.passes import Network

TRACES = 32
"""Most traces of the network: train and eval mode, with gradients and without, of each batch size. Usually 7."""


class CompiledNetwork(Twins):
    """Returns the logits of a classifier, and its gradients, up to rounding; its state stays where it is.

    Batches of `sizes` images are compiled for when the first of each comes, which takes a minute at the first time and
    some seconds when PyTorch finds it in its cache. Others are computed as written.
    """

    def __init__(self, classifier: Classifier, sizes: Collection[int], backend: str = "inductor") -> None:
        super().__init__(classifier)
        self._sizes = frozenset(sizes)
        # The compiler is told only here what the trainer has asked of PyTorch (see device.prepare).
        torch.use_deterministic_algorithms(torch.are_deterministic_algorithms_enabled(), warn_only=True)
        torch._dynamo.config.recompile_limit = max(TRACES, torch._dynamo.config.recompile_limit)
        self._compiled = _compiled(classifier, backend), _compiled(self._frozen, backend)

    def __call__(self, images: Tensor) -> Tensor:
        """Return float32 logits of images in [0, 1]."""
        if len(images) not in self._sizes:
            return super().__call__(images)
        return self.choose(images, *self._compiled)(images)


def _compiled(classifier: Classifier, backend: str) -> Network:
    return torch.compile(classifier.forward, fullgraph=True, dynamic=False, backend=backend)
