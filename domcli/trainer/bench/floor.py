"""How fast a step could be at the most: the arithmetic and the bytes that it needs, against what the device can do.

**Arithmetic.** F, a forward pass of PreActResNet-18 of width 64 over one 32 x 32 image, is 555.4 million multiply-adds,
two FLOP each; the gradient towards the input costs F once more, that towards the weights once more. A step then needs

    natural             3 F    the natural loss is the loss of the update
    RS-FGSM             6 F    natural loss 1; attack 1 + 1; update 3
    PGD-10             24 F    natural loss 1; attack 10 x (1 + 1); update 3
    DOM_DA             +h F    the augmented share h of the batch once more; natural training +1 F, for its update is
                               then of other images than its natural loss

for each image. Of DOM_DA's iterations only the first is counted, since how many follow is up to the draws. The channels
of every layer but the first grow with the width on both sides, so F grows with its square.

**Memory.** A is the output of all convolutions over one image: 614,400 numbers at width 64, and in proportion to it.
A forward pass in train mode moves 4 A: the convolution writes, batch norm with ReLU cannot begin before it knows the
statistics, so it reads again and writes, and the next convolution reads. The gradient towards the input moves 7 A:
batch norm reads gradient and input for its two sums, reads both again and writes, the convolution reads and writes.
The gradient towards the weights reads 2 A: activation and gradient. Each pass reads the weights, and the update moves
five float32 a parameter: weight and momentum (both read and written) and gradient (read).

The floor is one after the other: FLOP / peak + bytes / bandwidth. For PGD-10 at batch 128 in bfloat16 on an H200 that
is 3.5 ms and, at 4 TB/s, 5.2 ms. What stays in a cache between two layers is not moved, so on a device with large
ones, such as a CPU, the memory part is no strict bound.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from domcli.settings import Settings

STEM_MULTIPLY_ADDS, INNER_MULTIPLY_ADDS = 1_769_472, 553_653_248
"""Of the first convolution, which reads the three colours, and of all the rest, at width 64."""
ACTIVATIONS = 614_400
PARAMETERS = 11_172_170
PUBLISHED_WIDTH = 64
FORWARD_MOVES, INPUT_GRADIENT_MOVES, WEIGHT_GRADIENT_MOVES = 4, 7, 2
UPDATE_BYTES = 5 * 4
BYTES = {"bfloat16": 2, "float32": 4}

PEAKS = {
    "B200": 2250e12,
    "H200 NVL": 836e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "L40S": 362e12,
    "A100": 312e12,
    "A30": 165e12,
}
"""Dense bfloat16 FLOP/s by the vendor's data sheets; the first name that is found in the product's counts."""


@dataclass(frozen=True)
class Passes:
    """Passes over one image: forward, gradient towards the input, gradient towards the weights. Each costs F."""

    forward: float
    input_gradient: float
    weight_gradient: float

    @property
    def total(self) -> float:
        """The sum, in F."""
        return self.forward + self.input_gradient + self.weight_gradient


@dataclass(frozen=True)
class Limits:
    """What a device can do: FLOP/s and bytes/s, and where these figures come from."""

    flops: float
    flops_source: str
    bandwidth: float
    bandwidth_source: str


@dataclass(frozen=True)
class Floor:
    """The least time of a step in seconds, and the work behind it."""

    passes: float
    flop: float
    bytes: float
    arithmetic: float
    memory: float

    @property
    def seconds(self) -> float:
        """Arithmetic and memory one after the other."""
        return self.arithmetic + self.memory

    def against(self, measured: float) -> dict[str, Any]:
        """Return the floor, and the shares that a step of so many seconds reaches, from 0 to 1."""
        shares = {
            "arithmetic_share": self.arithmetic / measured,
            "memory_share": self.memory / measured,
            "share": self.seconds / measured,
        }
        return {**asdict(self), "seconds": self.seconds, **shares}


def needed_passes(settings: Settings, high_confidence: float) -> Passes:
    """Return the passes of a step after the warm-up when so large a share of its patterns is high-confidence."""
    attack, operate = settings.attack, settings.dom.operate
    augments = operate in ("augmix", "randaugment")
    if attack.name == "none":
        return Passes(2 + high_confidence if augments else 1, 1, 1)
    steps = (attack.steps if attack.name == "pgd" else 1) * attack.restarts
    choosing = attack.restarts if attack.restarts > 1 else 0
    return Passes(1 + steps + choosing + 1 + (high_confidence if augments else 0), steps + 1, 1)


def plain_passes(settings: Settings) -> float:
    """Return about what the plain loop spends on an image, in F: natural loss, attack with weight gradients, update."""
    if settings.attack.name == "none":
        return 4
    steps = (settings.attack.steps if settings.attack.name == "pgd" else 1) * settings.attack.restarts
    return 1 + 3 * steps + settings.attack.restarts + 3


def multiply_adds(width: int) -> float:
    """Return F of PreActResNet-18 of a width, in multiply-adds."""
    scale = width / PUBLISHED_WIDTH
    return STEM_MULTIPLY_ADDS * scale + INNER_MULTIPLY_ADDS * scale**2


def floor(settings: Settings, high_confidence: float, precision: str, limits: Limits) -> Floor:
    """Return the floor of a step of PreActResNet-18 on 32 x 32 images in this precision."""
    passes = needed_passes(settings, high_confidence)
    images, scale, size = settings.train.batch_size, settings.model.width / PUBLISHED_WIDTH, BYTES[precision]
    moves = (
        FORWARD_MOVES * passes.forward
        + INPUT_GRADIENT_MOVES * passes.input_gradient
        + WEIGHT_GRADIENT_MOVES * passes.weight_gradient
    )
    weights = PARAMETERS * scale**2 * (size * passes.total + UPDATE_BYTES)
    moved = images * ACTIVATIONS * scale * size * moves + weights
    flop = 2 * multiply_adds(settings.model.width) * images * passes.total
    return Floor(passes.total, flop, moved, flop / limits.flops, moved / limits.bandwidth)


def known_peak(product: str) -> float | None:
    """Return the dense bfloat16 peak of a GPU in FLOP/s; None for an unknown one, and for a part of one (MIG)."""
    if "MIG" in product:
        return None
    return next((peak for name, peak in PEAKS.items() if name in product), None)
