"""What DOM_DA costs beyond the network's passes: `python benchmarks/overhead.py --help`.

A step with the distraction at work is timed, and within it every forward and backward pass. The rest is augmentation
and bookkeeping; it is given as a share of the passes. About half of the batch is high-confidence.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from domcli.presets import resolve
from domcli.trainer import seeding
from domcli.trainer.bench.sides import engine_on, median_loss, synthetic_images
from domcli.trainer.engine import Engine

PRESETS = ("natural-dom-augmix", "natural-dom-randaugment")


class Clock:
    """Adds up the seconds that wrapped functions take; calls within calls count once."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._within = False

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, timed."""

        def timed(*arguments: Any, **keywords: Any) -> Any:
            if self._within:
                return function(*arguments, **keywords)
            self._within, began = True, time.perf_counter()
            try:
                return function(*arguments, **keywords)
            finally:
                self._within = False
                self.seconds += time.perf_counter() - began

        return timed


def main() -> None:
    """Time a few steps of each preset and print the shares."""
    parser = argparse.ArgumentParser(description="Time what DOM_DA costs beyond forward and backward passes, on CPU.")
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--width", type=int, default=64)
    options = parser.parse_args()
    clock = Clock()
    torch.Tensor.backward = clock.wrap(torch.Tensor.backward)  # type: ignore[method-assign]
    for preset in PRESETS:
        shares = _shares(_engine(preset, options.width), clock, options.steps)
        low, middle, high = (100 * value for value in (min(shares), statistics.median(shares), max(shares)))
        print(f"{preset:26} {middle:5.1f} % of the passes ({low:.1f} to {high:.1f})")


def _engine(preset: str, width: int) -> Engine:
    overrides = [f"model.width={width}", "train.max_lr=1e-6"]
    threshold = median_loss(resolve(preset, overrides))
    settings = resolve(preset, [*overrides, f"dom.threshold={threshold}"])
    return engine_on(settings, torch.device("cpu"), *synthetic_images(settings.train.batch_size))


def _shares(engine: Engine, clock: Clock, steps: int) -> list[float]:
    training = engine.training
    training.classifier.forward = clock.wrap(training.classifier.forward)  # type: ignore[method-assign]
    index, shares = torch.arange(training.patterns), []
    for step in range(steps + 1):
        seeding.reseed(0, seeding.Purpose.STEP, 0, step)
        clock.seconds, began = 0.0, time.perf_counter()
        engine.step(index, 1e-6, dom_active=True)
        total = time.perf_counter() - began
        if step:  # the first one warms up
            shares.append((total - clock.seconds) / clock.seconds)
    return shares


if __name__ == "__main__":
    main()
