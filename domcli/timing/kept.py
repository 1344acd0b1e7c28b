"""What `domcli bench` has measured, kept for each user in the cache; it may be deleted at any time."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from domcli import files
from domcli.bounds import Count, Seconds
from domcli.cachedir import cache_directory
from domcli.timing.estimate import Key, Measured, MeasuredEvaluation, MeasuredStep


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """What measurements must have in common to be of use for each other."""

    device: str
    """Product name."""
    cores: Count | None
    """CPU cores that were used; None on a GPU."""
    torch: str
    domcli: str


class KeptStep(msgspec.Struct, frozen=True):
    """Seconds of a step of a case."""

    case: str
    seconds: Seconds


class KeptEvaluation(msgspec.Struct, frozen=True):
    """Seconds of an evaluation of so many images."""

    case: str
    seconds: Seconds
    images: Count


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured under some conditions, by what it depends on."""

    conditions: Conditions
    steps: dict[Key, KeptStep]
    evaluations: dict[Key, KeptEvaluation]

    def measured(self) -> Measured:
        """Return it for estimates."""
        return Measured(
            steps={key: MeasuredStep(one.case, one.seconds) for key, one in self.steps.items()},
            evaluations={
                key: MeasuredEvaluation(one.case, one.seconds, one.images)
                for key, one in self.evaluations.items()
                if one.images
            },
        )


def file() -> Path:
    """Return where timings are kept."""
    return cache_directory() / "bench.json"


def recall(conditions: Conditions) -> Timings | None:
    """Return what was measured under these conditions, None if nothing was or it cannot be read."""
    return next((one for one in _all() if one.conditions == conditions), None)


def remember(conditions: Conditions, measured: Measured) -> None:
    """Keep what was measured, in place of what was of the same conditions and cases. Raises OSError."""
    before = recall(conditions)
    steps = {key: KeptStep(one.case, one.seconds) for key, one in measured.steps.items()}
    evaluations = {key: KeptEvaluation(one.case, one.seconds, one.images) for key, one in measured.evaluations.items()}
    now = Timings(
        conditions=conditions,
        steps={**(before.steps if before else {}), **steps},
        evaluations={**(before.evaluations if before else {}), **evaluations},
    )
    others = [one for one in _all() if one.conditions != conditions]
    file().parent.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode([*others, now])).decode()
    files.replace_text(file(), text + "\n", durable=False)


def _all() -> list[Timings]:
    found = []
    with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        entries = msgspec.json.decode(files.read_bytes(file()))
        for entry in entries if isinstance(entries, list) else ():
            with suppress(msgspec.ValidationError):
                found.append(msgspec.convert(entry, Timings))
    return found
