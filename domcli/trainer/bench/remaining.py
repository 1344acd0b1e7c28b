"""How long the rest takes: guessed from the arithmetic at first, corrected by what has been measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from domcli.settings import Settings
from domcli.timing import work
from domcli.trainer.bench.floor import plain_passes

GUESSED_SHARE = 0.3
"""Of the peak that a step reaches, as long as none has been measured."""
PLAIN_SLOWNESS = 2.0
"""Of the plain loop for the same arithmetic, as long as it has not been measured."""
START_SECONDS = 6.0
"""To start a process that loads torch."""
START = "start"


@dataclass
class Schedule:
    """The work that is left, in guessed seconds by kind, and how true the guesses have been."""

    left: dict[str, float] = field(default_factory=dict)
    guessed: dict[str, float] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)

    def plan(self, kind: str, guess: float) -> None:
        """Add work of a kind."""
        self.left[kind] = self.left.get(kind, 0.0) + guess

    def done(self, kind: str, guess: float, seconds: float) -> None:
        """Note that some of it is done, and how long it took."""
        self.left[kind] = max(0.0, self.left.get(kind, 0.0) - guess)
        self.guessed[kind] = self.guessed.get(kind, 0.0) + guess
        self.spent[kind] = self.spent.get(kind, 0.0) + seconds

    def skip(self, kind: str, guess: float) -> None:
        """Take off work that will not be done."""
        self.left[kind] = max(0.0, self.left.get(kind, 0.0) - guess)

    @property
    def remaining(self) -> float:
        """Seconds to the end."""
        return sum(guess * self._truth(kind) for kind, guess in self.left.items())

    @property
    def fraction(self) -> float:
        """Part of the time that is over, from 0 to 1."""
        spent = sum(self.spent.values())
        return spent / (spent + self.remaining) if spent else 0.0

    def _truth(self, kind: str) -> float:
        """Return seconds for each guessed one; a kind of which nothing is known is as wrong as the others were."""
        known: Mapping[str, float] = self.guessed
        if known.get(kind):
            return self.spent[kind] / known[kind]
        measured = [one for one in known if one != START]
        if kind == START or not measured:
            return 1.0
        return sum(self.spent[one] for one in measured) / sum(known[one] for one in measured)


def step_guess(settings: Settings, side: str, peak: float) -> float:
    """Return about the seconds of a step of either side where `peak` FLOP/s can be had."""
    flop = 2 * work.multiply_adds(settings) * settings.train.batch_size
    domcli = flop / (GUESSED_SHARE * peak)
    if side == "plain":
        return PLAIN_SLOWNESS * plain_passes(settings) * domcli
    return work.step_passes(settings, 0.5).total * domcli


def plain_evaluation_share(settings: Settings) -> float:
    """Return the passes of the plain loop's evaluation of a batch, as a test and as a training batch, in its steps."""
    steps = settings.evaluation.steps + settings.attack.steps
    return (3 * steps + 2 * 3) / plain_passes(settings)


def evaluation_guess(settings: Settings, images: int, peak: float) -> float:
    """Return about the seconds of an evaluation of so many images."""
    passes = work.evaluation_passes(settings).total
    return 2 * work.multiply_adds(settings) * images * passes / (GUESSED_SHARE * peak)
