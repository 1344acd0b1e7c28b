"""The networks: how large they are, and what a pass through them costs, by width, stride and image size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from domcli.catalogue.entry import Entry, Kind

PUBLISHED_WIDTH = 64
"""The `model.width` of a network as it was published."""


class Size(Protocol):
    """How large a network is. `width` is `model.width`; images are square, of `size` pixels and so many `channels`."""

    def parameters(self, width: int, channels: int, classes: int) -> int:
        """Return the number of trained parameters."""

    def multiply_adds(self, width: int, channels: int, classes: int, size: int) -> int:
        """Return the multiply-adds of a forward pass over one image, those of convolutions and linear layers."""

    def activations(self, width: int, channels: int, size: int) -> int:
        """Return how many numbers the convolutions write in a forward pass over one image."""


@dataclass(frozen=True)
class Convolution:
    """A convolution without bias: channels in and out, kernel, and the height and width of what it writes."""

    inputs: int
    outputs: int
    kernel: int
    size: int

    @property
    def weights(self) -> int:
        """Its parameters."""
        return self.inputs * self.outputs * self.kernel**2


@dataclass(frozen=True)
class Residual:
    """A pre-activation residual network of 3 x 3 convolutions: the stem's channels, those of each stage, its blocks.

    Channels are those of the published width. Every stage but the first halves the image; `stride` is the stem's.
    """

    stem: int
    widths: tuple[int, ...]
    blocks: int
    stride: int = 1

    def scaled(self, width: int) -> Residual:
        """Return it with the channels of another width, at least one each."""

        def at(channels: int) -> int:
            return max(1, round(channels * width / PUBLISHED_WIDTH))

        return Residual(
            at(self.stem),
            tuple(at(self.widths[0]) * (one // self.widths[0]) for one in self.widths),
            self.blocks,
            self.stride,
        )

    def convolutions(self, channels: int, size: int = 32) -> Iterator[Convolution]:
        """Yield the convolutions in order; a block's shortcut comes after its others."""
        size = -(-size // self.stride)
        yield Convolution(channels, self.stem, 3, size)
        inputs = self.stem
        for stage, width in enumerate(self.widths):
            for block in range(self.blocks):
                halved = stage > 0 and block == 0
                size = -(-size // 2) if halved else size
                yield Convolution(inputs, width, 3, size)
                yield Convolution(width, width, 3, size)
                if halved or inputs != width:
                    yield Convolution(inputs, width, 1, size)
                inputs = width

    def parameters(self, width: int, channels: int, classes: int) -> int:
        """Return the number of trained parameters."""
        own = self.scaled(width)
        layers = list(own.convolutions(channels))
        # Batch norm, of two parameters a channel: before each 3 x 3 convolution but the stem, and after the last.
        normalised = sum(one.inputs for one in layers[1:] if one.kernel == 3) + own.widths[-1]
        return sum(one.weights for one in layers) + 2 * normalised + (own.widths[-1] + 1) * classes

    def multiply_adds(self, width: int, channels: int, classes: int, size: int) -> int:
        """Return the multiply-adds of a forward pass over one image."""
        own = self.scaled(width)
        return sum(one.weights * one.size**2 for one in own.convolutions(channels, size)) + own.widths[-1] * classes

    def activations(self, width: int, channels: int, size: int) -> int:
        """Return how many numbers the convolutions write in a forward pass over one image."""
        return sum(one.outputs * one.size**2 for one in self.scaled(width).convolutions(channels, size))


@dataclass(frozen=True)
class ByWidth:
    """About how large a network is, from what is known of it at the published width for images of `size` pixels.

    Parameters and multiply-adds grow with the square of the width, activations with it; the latter two also grow with
    the number of pixels.
    """

    known_parameters: float
    known_multiply_adds: float
    known_activations: float = 0.0
    size: int = 32

    def parameters(self, width: int, channels: int, classes: int) -> int:
        """Return about the number of trained parameters."""
        del channels, classes
        return round(self.known_parameters * (width / PUBLISHED_WIDTH) ** 2)

    def multiply_adds(self, width: int, channels: int, classes: int, size: int) -> int:
        """Return about the multiply-adds of a forward pass over one image."""
        del channels, classes
        return round(self.known_multiply_adds * (width / PUBLISHED_WIDTH) ** 2 * (size / self.size) ** 2)

    def activations(self, width: int, channels: int, size: int) -> int:
        """Return about how many numbers are written in a forward pass over one image."""
        del channels
        return round(self.known_activations * width / PUBLISHED_WIDTH * (size / self.size) ** 2)


@dataclass(frozen=True, kw_only=True)
class Network(Entry):
    """A network. Its work returns the torch module, from width, channels and classes, freshly initialised."""

    size: Size
    smallest: int = 8
    """Height and width of the smallest images that it takes."""
    official: str | None = None
    """What the official implementation calls it."""


PREACTRESNET18 = Residual(64, (64, 128, 256, 512), 2)
WIDERESNET34 = Residual(16, (160, 320, 640), 5)

NETWORKS = Kind(
    "network",
    ("model.name",),
    Network,
    Network(
        name="preactresnet18",
        about="PreActResNet-18 (He et al., 2016)",
        work="domcli.trainer.models.preactresnet:preactresnet18",
        size=PREACTRESNET18,
        official="PreActResNet18",
    ),
    Network(
        name="wideresnet34-10",
        about="Wide ResNet-34-10 (Zagoruyko and Komodakis, 2016)",
        work="domcli.trainer.models.preactresnet:wideresnet34",
        size=WIDERESNET34,
        official="WideResNet",
    ),
)
