"""AugMix and RandAugment as torchvision's defaults have them, in two parts: draws on the host, pixels on the device.

The draws are torchvision's own calls in their order, all from the CPU's default generator: the same seed gives the same
operations, signs and weights on every device. Applying them reads nothing back from the device.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from domcli.trainer.augmentation import geometry, tones
from domcli.trainer.augmentation.geometry import Interpolation


@dataclass(frozen=True)
class Operation:
    """One operation, by torchvision's name, and how strong it is; the sign is the direction."""

    name: str
    magnitude: float


Chain = tuple[Operation, ...]


@dataclass(frozen=True)
class Mixture:
    """What AugMix draws for a batch of B images."""

    chains: tuple[Chain, ...]
    weights: Tensor
    """Per image, B x (1 + chains), on the CPU: of the image itself and of each chain's result; they add up to 1."""


@dataclass(frozen=True)
class Choice:
    """An operation that may be drawn."""

    name: str
    magnitudes: tuple[float, ...]
    """Empty for an operation that comes in one strength."""
    signed: bool


RANDAUGMENT_OPERATIONS = 2
RANDAUGMENT_MAGNITUDE = 9
AUGMIX_CHAINS = 3
AUGMIX_LONGEST = 3
AUGMIX_SEVERITY = 3


def draw_randaugment(height: int, width: int) -> Chain:
    """Draw the operations of one call for images of this size."""
    choices = _randaugment_choices(height, width)
    return tuple(_draw_operation(choices, RANDAUGMENT_MAGNITUDE) for _ in range(RANDAUGMENT_OPERATIONS))


def draw_augmix(count: int, height: int, width: int) -> Mixture:
    """Draw the chains of one call and each image's mixing weights, for `count` images of this size."""
    beta = torch._sample_dirichlet(torch.ones(2).expand(count, -1))
    weights = torch._sample_dirichlet(torch.ones(AUGMIX_CHAINS).expand(count, -1)) * beta[:, 1:]
    choices = _augmix_choices(height, width)
    chains = tuple(
        tuple(_draw_operation(choices, None) for _ in range(1 + _draw_below(AUGMIX_LONGEST)))
        for _ in range(AUGMIX_CHAINS)
    )
    return Mixture(chains, torch.cat([beta[:, :1], weights], dim=1))


def apply_chain(images: Tensor, chain: Chain, interpolation: Interpolation = "nearest") -> Tensor:
    """Return the images (float32, whole numbers 0 to 255, B x C x H x W) after the operations, in the same form.

    RandAugment takes the nearest pixel, AugMix interpolates. The result may be `images` itself.
    """
    for operation in chain:
        images = _apply(images, operation, interpolation)
    return images


def apply_mixture(images: Tensor, mixture: Mixture) -> Tensor:
    """Return the mix of the images and of the results of AugMix's chains on them, in the form of `apply_chain`."""
    weights = mixture.weights.to(images.device, non_blocking=True).view(len(images), -1, 1, 1, 1)
    mix = images * weights[:, 0]
    for index, chain in enumerate(mixture.chains, start=1):
        mix.add_(apply_chain(images, chain, "bilinear") * weights[:, index])
    return mix.trunc_()


def _apply(images: Tensor, operation: Operation, interpolation: Interpolation) -> Tensor:
    name, magnitude = operation.name, operation.magnitude
    if name in GEOMETRIC:
        return geometry.warp(images, geometry.matrix_of(name, magnitude, *images.shape[-2:]), interpolation)
    if name in BLENDED:
        return BLENDED[name](images, 1.0 + magnitude)
    if name == "Posterize":
        return tones.posterize(images, int(magnitude))
    if name == "Solarize":
        return tones.solarize(images, magnitude)
    return PLAIN[name](images)


def _unchanged(images: Tensor) -> Tensor:
    return images


GEOMETRIC = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
BLENDED = {
    "Brightness": tones.brightness,
    "Color": tones.color,
    "Contrast": tones.contrast,
    "Sharpness": tones.sharpness,
}
PLAIN = {"Identity": _unchanged, "AutoContrast": tones.autocontrast, "Equalize": tones.equalize}


def _draw_below(count: int) -> int:
    return int(torch.randint(count, (1,)))


def _draw_operation(choices: tuple[Choice, ...], level: int | None) -> Operation:
    """Draw an operation, its magnitude (the one at `level`, or one of AugMix's lowest) and its sign."""
    choice = choices[_draw_below(len(choices))]
    magnitude = 0.0
    if choice.magnitudes:
        magnitude = choice.magnitudes[_draw_below(AUGMIX_SEVERITY) if level is None else level]
    if choice.signed and _draw_below(2):
        magnitude = -magnitude
    return Operation(choice.name, magnitude)


@lru_cache(maxsize=16)
def _randaugment_choices(height: int, width: int) -> tuple[Choice, ...]:
    """Return torchvision's space of operations, in its order, with 31 magnitudes each."""
    return (
        Choice("Identity", (), False),
        *_moves(31, 150.0 / 331.0 * width, 150.0 / 331.0 * height),
        *_blends(31),
        *_reductions(31, 8),
    )


@lru_cache(maxsize=16)
def _augmix_choices(height: int, width: int) -> tuple[Choice, ...]:
    """Return torchvision's space of operations, in its order, with 10 magnitudes each."""
    return (*_moves(10, width / 3.0, height / 3.0), *_reductions(10, 4), *_blends(10))


def _moves(levels: int, farthest_x: float, farthest_y: float) -> tuple[Choice, ...]:
    largest = {"ShearX": 0.3, "ShearY": 0.3, "TranslateX": farthest_x, "TranslateY": farthest_y, "Rotate": 30.0}
    return tuple(Choice(name, _evenly(0.0, end, levels), True) for name, end in largest.items())


def _blends(levels: int) -> tuple[Choice, ...]:
    return tuple(Choice(name, _evenly(0.0, 0.9, levels), True) for name in BLENDED)


def _reductions(levels: int, most_bits: int) -> tuple[Choice, ...]:
    bits = most_bits - (torch.arange(levels) / ((levels - 1) / 4)).round()
    return (
        Choice("Posterize", tuple(bits.tolist()), False),
        Choice("Solarize", _evenly(255.0, 0.0, levels), False),
        Choice("AutoContrast", (), False),
        Choice("Equalize", (), False),
    )


def _evenly(first: float, last: float, count: int) -> tuple[float, ...]:
    return tuple(torch.linspace(first, last, count).tolist())
