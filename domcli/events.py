"""The typed events of a run and their schema version; one JSON object a line.

Losses are means of cross-entropy in nats, accuracies are fractions in [0, 1], epochs count from 1, times are seconds
(`time` since 1970). A value that was not measured, or is not finite, is null.
"""

from __future__ import annotations

import json
from typing import Literal

import msgspec

from domcli.bounds import Count, Fraction, Rate, Seconds
from domcli.errors import EventStreamError

SCHEMA = 1

LOSS_RANGES = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5)
"""Lower ends of the loss ranges of the histogram (paper, Figure 1); the last range is open."""


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What every line has."""

    schema: int = SCHEMA
    time: Seconds = 0.0
    seq: Count = 0


class BusyCores(msgspec.Struct, frozen=True, kw_only=True):
    """How many cores other programs kept busy for a while, of those that a trainer may use; both may be fractions."""

    busy: Rate
    cores: Rate

    def __str__(self) -> str:
        return f"other programs keep {self.busy:g} of {self.cores:g} {'core' if self.cores == 1 else 'cores'} busy"


class Started(Event, frozen=True, kw_only=True, tag="started"):
    """A trainer took up the run, with `epoch` epochs and `step` steps of the next done before (0, 0: fresh)."""

    settings_digest: str
    device: str
    device_name: str
    precision: str
    train_size: Count
    test_size: Count
    classes: Count
    image_shape: tuple[Count, Count, Count]
    parameters: Count
    epochs: Count
    steps_per_epoch: Count
    loss_ranges: tuple[float, ...] = LOSS_RANGES
    epoch: Count = 0
    step: Count = 0
    busy_cores: BusyCores | None = None
    """While a trainer on a CPU started, if its threads lacked them; else null."""


class Progress(Event, frozen=True, kw_only=True, tag="progress"):
    """How far the epoch is; means and counts are over what this epoch has seen so far."""

    phase: Literal["train", "test", "attack-train"]
    epoch: Count
    step: Count
    steps: Count
    images_per_second: Rate
    lr: float | None = None
    natural_loss: float | None = None
    robust_loss: float | None = None
    seen: Count = 0
    high_confidence: Count = 0
    removed: Count = 0
    augmented: Count = 0


class TrainMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """From the training passes themselves: natural images (step 3) and perturbed ones (step 6).

    In imported logs they are from an evaluation after the epoch.
    """

    natural_loss: float | None
    natural_accuracy: Fraction
    robust_loss: float | None = None
    robust_accuracy: Fraction | None = None


class TestMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """From an evaluation, network in eval mode."""

    natural_loss: float | None
    natural_accuracy: Fraction
    pgd_loss: float | None = None
    pgd_accuracy: Fraction | None = None
    one_step_loss: float | None = None
    one_step_accuracy: Fraction | None = None


class Memorization(msgspec.Struct, frozen=True, kw_only=True):
    """The record over all training patterns after an epoch, by the natural loss of each pattern's latest step."""

    threshold: float
    high_confidence: Count
    """Patterns with a natural loss under the threshold."""
    original: Count | None
    """High-confidence patterns that were so at the end of the warm-up; null before."""
    transformed: Count | None
    """High-confidence patterns that became so after the warm-up; null before."""
    entered: Count
    """Patterns that are high-confidence and were not an epoch ago."""
    left: Count
    """Patterns that were high-confidence an epoch ago and are not."""
    removed: Count
    """Patterns left out of the update in this epoch (DOM_RE)."""
    augmented: Count
    """Patterns augmented in this epoch (DOM_DA)."""
    histogram: tuple[Count, ...]
    """Patterns in each loss range."""
    overlap: Fraction | None
    """Share of the most confident tenth by natural loss that is also so by adversarial loss (paper, Figure 3)."""


class EpochEnd(Event, frozen=True, kw_only=True, tag="epoch"):
    """Everything of one epoch. `test` and `train_attack` are null in epochs without an evaluation.

    `memorization`, `images_per_second` and `memory` are null where nobody measured them: in imported logs.
    """

    epoch: Count
    lr: float
    train: TrainMetrics
    test: TestMetrics | None
    train_attack: TestMetrics | None
    memorization: Memorization | None
    best: bool
    """True when no earlier epoch did better on the criterion of `best`."""
    train_seconds: Seconds
    test_seconds: Seconds
    images_per_second: Rate | None
    memory: Count | None
    """Peak memory in bytes: of the device on CUDA, of the process on CPU."""


class CheckpointSaved(Event, frozen=True, kw_only=True, tag="checkpoint"):
    """A checkpoint is on disk: the state after `epoch` epochs and `step` steps of the next; `path` is in the run.

    `time` is when that was the state; by then it is not on disk yet.
    """

    label: Literal["best", "last", "epoch"]
    path: str
    epoch: Count
    step: Count = 0


class Finished(Event, frozen=True, kw_only=True, tag="finished"):
    """All epochs are done; `seconds` is the training and evaluation time over all resumes."""

    seconds: Seconds


class Failed(Event, frozen=True, kw_only=True, tag="failed"):
    """The trainer gave up; `reason` is one sentence a person can act on."""

    cause: Literal["out-of-memory", "non-finite-loss", "storage", "device", "refused", "error"]
    reason: str


class Stopped(Event, frozen=True, kw_only=True, tag="stopped"):
    """The trainer stopped when asked, after `epoch` epochs and `step` steps of the next; a resume goes on there."""

    reason: str
    epoch: Count
    step: Count


AnyEvent = Started | Progress | EpochEnd | CheckpointSaved | Finished | Failed | Stopped
Closing = (Finished, Failed, Stopped)
KINDS = frozenset(
    str(kind.__struct_config__.tag)
    for kind in (Started, Progress, EpochEnd, CheckpointSaved, Finished, Failed, Stopped)
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


def encode(event: AnyEvent) -> bytes:
    """Return the event as one line, newline included. Numbers that are not finite become null."""
    return _encoder.encode(event) + b"\n"


def decode(line: bytes) -> AnyEvent | None:
    """Return the event of a line, or None for a kind this version does not know.

    Raises EventStreamError for a newer schema and for a line that is not an event.
    """
    try:
        event = _decoder.decode(line)
    except msgspec.ValidationError as error:
        _refuse_if_known(line, str(error))
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EventStreamError(f"not an event: {error}") from error
    _refuse_newer(event.schema)
    return event


def _refuse_if_known(line: bytes, problem: str) -> None:
    try:  # an unknown kind is noticed before the rest of the line is looked at
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise EventStreamError(f"not an event: {error}") from error
    if not isinstance(content, dict):
        raise EventStreamError(f"not an event: {problem}")
    _refuse_newer(content.get("schema"))
    kind = content.get("kind")
    if not isinstance(kind, str) or kind in KINDS:
        raise EventStreamError(f"not an event of schema {SCHEMA}: {problem}")


def _refuse_newer(schema: object) -> None:
    if isinstance(schema, int) and schema > SCHEMA:
        raise EventStreamError(
            f"written by a newer domcli (event schema {schema}, this version reads up to {SCHEMA}); upgrade domcli"
        )
