"""A training loop as most research code writes it: what domcli's step is measured against.

It does the steps of the paper's Algorithm 1 with what PyTorch gives by default: pictures decoded and augmented one by
one, float32, NCHW, `loss.backward()` in the attack, a graph for every forward pass. It spends the passes that such
code spends: the natural loss is a pass of its own, and one more follows the attack. The network is domcli's own, so
that only the loop differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from domcli.catalogue import ATTACKS
from domcli.settings import AttackSettings, DomSettings, Settings
from domcli.trainer.schedule import learning_rate

TRANSFORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "augmix": transforms.AugMix(),
    "randaugment": transforms.RandAugment(),
}
"""DOM_DA's augmentations, which take and return uint8."""


@dataclass
class Sums:
    """What the loop adds up over an epoch: counts, and losses in nats."""

    seen: int = 0
    natural_loss: float = 0.0
    loss: float = 0.0
    correct: int = 0
    high_confidence: int = 0
    """Patterns whose natural loss was under the threshold."""


class Loader(Protocol):
    """Gives batches of images (float32 in [0, 1], B x 3 x 32 x 32) and labels (int64, B), on the host."""

    def __len__(self) -> int:
        """Return the number of batches."""

    def __iter__(self) -> Iterator[list[Tensor]]:
        """Go through them once."""


class Pictures(Dataset[tuple[Tensor, int]]):
    """Pictures that are cropped, flipped and converted one by one, as they are asked for."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        """Take `images` as uint8, N x 3 x 32 x 32, and `labels` as int64, N."""
        self.images = images.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels: list[int] = labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4, padding_mode="reflect"),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def load(images: Tensor, labels: Tensor, batch_size: int, device: torch.device) -> Loader:
    """Return the batches of uint8 images, shuffled anew each time, made in this process."""
    pictures = Pictures(images, labels)
    return DataLoader(pictures, batch_size, shuffle=True, pin_memory=device.type == "cuda")


def optimizer_of(model: nn.Module, settings: Settings) -> torch.optim.SGD:
    """Return SGD with the settings' momentum and weight decay."""
    train = settings.train
    return torch.optim.SGD(
        model.parameters(), lr=train.max_lr, momentum=train.momentum, weight_decay=train.weight_decay
    )


def train_epoch(
    model: nn.Module, loader: Loader, optimizer: torch.optim.SGD, settings: Settings, epoch: int, device: torch.device
) -> Sums:
    """Train for one epoch (from 0), with DOM once the warm-up is over."""
    dom, sums = settings.dom, Sums()
    model.train()
    for i, (host_images, host_labels) in enumerate(loader):
        t = epoch + (i + 1) / len(loader)
        dom_active = t >= settings.train.span * dom.warmup
        optimizer.param_groups[0]["lr"] = learning_rate(t, settings.train)
        images, labels = host_images.to(device), host_labels.to(device)

        natural_losses = F.cross_entropy(model(images), labels, reduction="none")
        if dom_active and dom.operate in TRANSFORMS and (natural_losses <= dom.threshold).any():
            images = distract(model, images, labels, natural_losses, dom)
        if ATTACKS[settings.attack.name].perturbs:
            images = images + attack(model, images, labels, settings.attack)

        optimizer.zero_grad()
        output = model(images)
        losses = F.cross_entropy(output, labels, reduction="none")
        if dom_active and dom.operate == "remove":
            losses = losses * (natural_losses >= dom.threshold)
        losses.mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()

        sums.seen += len(labels)
        sums.natural_loss += natural_losses.sum().item()
        sums.loss += losses.sum().item()
        sums.correct += int((output.argmax(1) == labels).sum().item())
        sums.high_confidence += int((natural_losses < dom.threshold).sum().item())
    return sums


def attack(model: nn.Module, images: Tensor, labels: Tensor, settings: AttackSettings) -> Tensor:
    """Return the L-infinity perturbation of PGD or RS-FGSM that has the highest loss of all restarts."""
    epsilon, alpha = settings.epsilon / 255, settings.alpha / 255
    highest = torch.zeros(len(images), device=images.device)
    best = torch.zeros_like(images)
    for _ in range(settings.restarts):
        delta = torch.empty_like(images).uniform_(-epsilon, epsilon)
        delta = torch.clamp(delta, -images, 1 - images).requires_grad_()
        for _ in range(ATTACKS[settings.name].steps(settings.steps)):
            loss = F.cross_entropy(model(images + delta), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            assert delta.grad is not None
            stepped = torch.clamp(delta.detach() + alpha * delta.grad.sign(), -epsilon, epsilon)
            delta.data = torch.clamp(stepped, -images, 1 - images)
            delta.grad.zero_()
        losses = F.cross_entropy(model(images + delta), labels, reduction="none").detach()
        best[losses >= highest] = delta.detach()[losses >= highest]
        highest = torch.max(highest, losses)
    return best


def evaluate(model: nn.Module, images: Tensor, labels: Tensor, settings: AttackSettings) -> tuple[int, int]:
    """Return how many of the images are classified correctly, as they are and attacked, network in eval mode."""
    model.eval()
    try:
        natural = model(images).argmax(1) == labels
        attacked = model(images + attack(model, images, labels, settings)).argmax(1) == labels
    finally:
        model.train()
    return int(natural.sum().item()), int(attacked.sum().item())


def distract(model: nn.Module, images: Tensor, labels: Tensor, natural_losses: Tensor, dom: DomSettings) -> Tensor:
    """Return the images with the high-confidence ones augmented until the model is less sure of them (DOM_DA)."""
    images = images.clone()
    todo = (natural_losses <= dom.threshold).nonzero().squeeze(1)
    for n in range(1, dom.iterations + 1):
        if len(todo) == 0:
            break
        pixels = (images[todo] * 255.999).to(torch.uint8)
        augmented = TRANSFORMS[dom.operate](pixels).float() / 255
        done = F.cross_entropy(model(augmented), labels[todo], reduction="none") >= dom.threshold
        beta = 1.0 if n == dom.iterations else dom.strength
        mixed = images[todo] * (1 - beta) + augmented * beta
        images[todo[done]] = augmented[done]
        images[todo[~done]] = mixed[~done]
        todo = todo[~done]
    return images
