"""Batches as large as fit: how many images that is, and a network that takes more than that in pieces."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from domcli.memory import is_out_of_memory
from domcli.trainer.attacks import input_gradient
from domcli.trainer.models import Classifier

CPU_IMAGES = 250
MOST_IMAGES = 2000
"""More at once are no faster, even on the largest GPUs, and what is found would be kept less often."""
MOST_PROBED = 128
"""Images of the largest probe: beside few of them, the workspaces of libraries are most of what is taken."""
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

        Raises the error that says so if it does not for a single image.
        """
        while True:
            try:
                return work()
            except Exception as error:
                if self.size == 1 or not is_out_of_memory(error):
                    raise
            # Not above, where the error still keeps what was computed until then in memory.
            self.size = max(1, self.size // 2)
            torch.cuda.empty_cache()

    def _logits(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(images)
        return logits


def images_that_fit(classifier: Classifier, shape: tuple[int, ...], device: torch.device) -> int:
    """Return how many images of this shape (C, H, W) an attack can probably take at once.

    On CUDA, from the memory that gradients take with respect to two numbers of images: it tells what each further image
    takes, and what is taken however few they are.
    """
    if device.type != "cuda":
        return CPU_IMAGES
    probed = _probe(classifier, shape, device)
    if probed is None:
        return 1
    many, taken_by_half, taken = probed
    each = (taken - taken_by_half) / (many // 2)
    if each <= 0:  # libraries took a smaller workspace for more images, so this tells nothing
        each = taken / many
    always = max(0.0, taken - many * each)
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(MOST_IMAGES, int((MEMORY_SHARE * free - always) / each)))


def _probe(classifier: Classifier, shape: tuple[int, ...], device: torch.device) -> tuple[int, int, int] | None:
    """Return a number of images, and the bytes that the gradients of half as many take, and of all of them.

    None if memory does not suffice for two.
    """
    before, many = torch.cuda.memory_allocated(device), MOST_PROBED
    while many > 1:
        try:
            # Both from the same start: a workspace that the first one leaves behind counts in both.
            half, whole = (_peak_memory(classifier, count, shape, device) - before for count in (many // 2, many))
            return many, half, whole
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        finally:
            torch.cuda.empty_cache()
        many //= 2
    return None


def _peak_memory(classifier: Classifier, count: int, shape: tuple[int, ...], device: torch.device) -> int:
    """Return the most bytes allocated while the gradient of so many images is computed."""
    torch.cuda.reset_peak_memory_stats(device)
    images = torch.zeros(count, *shape, device=device)
    labels = torch.zeros(count, dtype=torch.int64, device=device)
    input_gradient(lambda x, y: nn.functional.cross_entropy(classifier(x), y, reduction="none"), images, labels)
    return torch.cuda.max_memory_allocated(device)
