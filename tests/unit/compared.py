"""Run directories for the tests of domcli.compare: a few epochs of made-up accuracies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from samples import epoch_end, started

from domcli import rundir
from domcli.events import AnyEvent, EpochEnd, Failed, Finished, Memorization, Stopped, encode
from domcli.naming import default_name
from domcli.presets import resolve
from domcli.rundir import RunDirectory
from domcli.runstate import headline_accuracy

Accuracies = Sequence[tuple[float, float | None]]
"""Natural and PGD test accuracy of every epoch, as fractions."""

FINISHED = Finished(seconds=60.0)
STOPPED = Stopped(reason="asked to", epoch=2, step=0)
FAILED = Failed(cause="non-finite-loss", reason="training diverged")

COUNTER = iter(range(10**6))


def write_run(
    folder: Path,
    preset: str = "pgd-dom-re",
    seed: int = 0,
    accuracies: Accuracies = ((0.5, 0.25), (0.75, 0.5), (0.75, 0.375)),
    *,
    changes: Sequence[str] = (),
    name: str | None = None,
    ending: AnyEvent | None = FINISHED,
    environment: dict[str, Any] | None = None,
    epochs: int | None = None,
) -> RunDirectory:
    """Write a run of a preset; `epochs` are those of its settings, by default as many as there are accuracies."""
    length = len(accuracies) if epochs is None else epochs
    settings = resolve(preset, [f"train.epochs={length}", f"train.seed={seed}", *changes])
    about = {"preset": preset, "created": float(next(COUNTER)), "domcli": "0.1.0", "git_commit": "ab" * 20}
    about.update(environment or {})
    usual = default_name(about["preset"] or preset, seed, quick=about.get("quick") is True)
    run = rundir.create(folder, name or rundir.unused_name(folder, usual), settings.to_dict(), about)
    write_events(run, [started(epochs=length), *epoch_ends(accuracies)], ending)
    return run


def epoch_ends(accuracies: Accuracies) -> list[EpochEnd]:
    """Epochs with these accuracies, marked as best where they are, with patterns memorized from the second on."""
    ends, best = [], 0.0
    for number, (natural, pgd) in enumerate(accuracies, start=1):
        end = epoch_end(number, natural=natural, pgd=pgd)
        accuracy = headline_accuracy(end) or 0.0
        ends.append(msgspec.structs.replace(end, best=accuracy > best, memorization=memorized(number)))
        best = max(best, accuracy)
    return ends


def memorized(epoch: int) -> Memorization:
    return Memorization(
        threshold=1.5,
        high_confidence=10 * epoch,
        original=10 if epoch > 1 else None,
        transformed=10 * (epoch - 1) if epoch > 1 else None,
        entered=1,
        left=0,
        removed=0,
        augmented=0,
        histogram=(1, 2, 0, 0, 0, 97),
        overlap=None,
    )


def write_events(run: RunDirectory, events: Sequence[AnyEvent], ending: AnyEvent | None = None) -> None:
    """Write the stream of a run anew."""
    run.events.write_bytes(b"".join(map(encode, [*events, *([ending] if ending else [])])))


def seeds(folder: Path, preset: str, pgd: Sequence[float], *, changes: Sequence[str] = (), quick: bool = False) -> None:
    """Write runs with the seeds 0, 1, ... whose PGD accuracy is this at best and 0.1 less at last."""
    for seed, accuracy in enumerate(pgd):
        write_run(
            folder,
            preset,
            seed,
            [(0.5, 0.1), (0.8, accuracy), (0.7, accuracy - 0.1)],
            changes=changes,
            environment={"quick": quick},
        )
