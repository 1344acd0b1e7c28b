"""How fast a step could be at the most: the arithmetic and the bytes that it needs, against what the device can do.

**Arithmetic.** F, a forward pass of PreActResNet-18 of width 64 over one 32 x 32 image, is 555.4 million multiply-adds,
two FLOP each; the gradient towards the input costs F once more, that towards the weights once more. A step then needs

    natural             3 F    the natural loss is the loss of the update
    RS-FGSM             6 F    natural loss 1; attack 1 + 1; update 3
    PGD-10             24 F    natural loss 1; attack 10 x (1 + 1); update 3
    DOM_DA             +h F    the augmented share h of the batch once more; natural training +1 F, for its update is
                               then of other images than its natural loss

for each image (see domcli.catalogue.cost). The channels of every layer but the first grow with the width on both sides,
so F grows with its square.

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

from domcli.catalogue import ATTACKS
from domcli.settings import Settings
from domcli.timing import work

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


def plain_passes(settings: Settings) -> float:
    """Return about what the plain loop spends on an image, in F: natural loss, attack with weight gradients, update."""
    attack, restarts = ATTACKS[settings.attack.name], settings.attack.restarts
    if not attack.perturbs:
        return 4
    steps = attack.steps(settings.attack.steps) * restarts
    return 1 + 3 * steps + restarts + 3


def floor(settings: Settings, high_confidence: float, precision: str, limits: Limits) -> Floor:
    """Return the floor of a step in this precision."""
    passes, network = work.step_passes(settings, high_confidence), work.network(settings)
    channels, size, classes = work.images(settings)
    images, width, number = settings.train.batch_size, settings.model.width, BYTES[precision]
    moves = (
        FORWARD_MOVES * passes.forward
        + INPUT_GRADIENT_MOVES * passes.input_gradient
        + WEIGHT_GRADIENT_MOVES * passes.weight_gradient
    )
    weights = network.parameters(width, channels, classes) * (number * passes.total + UPDATE_BYTES)
    moved = images * network.activations(width, channels, size) * number * moves + weights
    flop = 2 * work.multiply_adds(settings) * images * passes.total
    return Floor(passes.total, flop, moved, flop / limits.flops, moved / limits.bandwidth)


def known_peak(product: str) -> float | None:
    """Return the dense bfloat16 peak of a GPU in FLOP/s; None for an unknown one, and for a part of one (MIG)."""
    if "MIG" in product:
        return None
    return next((peak for name, peak in PEAKS.items() if name in product), None)
