"""Batches as large as fit: how many images that is, and a network that takes more than that in pieces."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from domcli.trainer.attacks import input_gradient
from domcli.trainer.models import Classifier

CPU_IMAGES = 250
MOST_IMAGES = 2000
"""More at once are no faster, even on the largest GPUs, and what is found would be kept less often."""
PROBE_IMAGES = 8
MEMORY_SHARE = 0.7
"""Of the free memory: what an attack keeps beside the network's activations needs room, too."""

Found = TypeVar("Found")


class FittingNetwork(nn.Module):
    """A classifier in eval mode, without gradients of its weights, that is given at most `size` images at a time.

    Where gradients are asked of more images than that, the pieces are computed again for their backward pass, so that
    the activations of one piece alone are in memory. An attack that has to see its images together can thus run on a
    smaller device, and draws the same random numbers there.
    """

    def __init__(self, classifier: Classifier, size: int) -> None:
        super().__init__()
        self.classifier = classifier.eval().requires_grad_(False)
        self.size = size
        self.after_pass: Callable[[], None] = lambda: None

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, N x classes, of images in [0, 1], N x C x H x W."""
        self.after_pass()
        pieces = torch.split(images, self.size)
        if len(pieces) == 1:
            return self._logits(images)
        if torch.is_grad_enabled() and images.requires_grad:
            return torch.cat([checkpoint(self._logits, piece, use_reentrant=False) for piece in pieces])
        return torch.cat([self._logits(piece) for piece in pieces])

    def predict(self, images: Tensor) -> Tensor:
        """Return the class of each image."""
        with torch.no_grad():
            logits: Tensor = self(images)
        return logits.argmax(1)

    def fitting(self, work: Callable[[], Found]) -> Found:
        """Return what `work` returns, begun again with half as many images at a time whenever memory does not suffice.

        Raises torch.OutOfMemoryError if it does not for a single image.
        """
        while True:
            try:
                return work()
            except torch.OutOfMemoryError:
                if self.size == 1:
                    raise
            self.size = max(1, self.size // 2)
            torch.cuda.empty_cache()

    def _logits(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(images)
        return logits


def images_that_fit(classifier: Classifier, shape: tuple[int, ...], device: torch.device) -> int:
    """Return how many images of this shape (C, H, W) an attack can probably take at once.

    On CUDA, from the memory that a gradient with respect to a few images takes.
    """
    if device.type != "cuda":
        return CPU_IMAGES
    images = torch.zeros(PROBE_IMAGES, *shape, device=device)
    labels = torch.zeros(PROBE_IMAGES, dtype=torch.int64, device=device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    input_gradient(lambda x, y: nn.functional.cross_entropy(classifier(x), y, reduction="none"), images, labels)
    each = (torch.cuda.max_memory_allocated(device) - before) / PROBE_IMAGES
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(MOST_IMAGES, int(MEMORY_SHARE * free / each)))
