"""Events and settings that the tests of this folder share, and hypothesis strategies for all of them."""

from __future__ import annotations

import typing
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union

import msgspec
from hypothesis import strategies as st

from domcli.events import (
    AnyEvent,
    CheckpointSaved,
    EpochEnd,
    Event,
    Failed,
    Finished,
    Memorization,
    Progress,
    Started,
    Stopped,
    TestMetrics,
    TrainMetrics,
)
from domcli.settings import Settings

EVENTS = (Started, Progress, EpochEnd, CheckpointSaved, Finished, Failed, Stopped)
LITERALS: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: st.text(),
    bool: st.booleans(),
    NoneType: st.none(),
}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of the annotation of an event's field."""
    if kind in LITERALS:
        return LITERALS[kind]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return within(*arguments)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, UnionType):
        return st.one_of(*map(values, arguments))
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0]), max_size=8).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, arguments))
    return st.builds(kind, **{field.name: values(field.type) for field in msgspec.structs.fields(kind)})


def within(kind: Any, bounds: msgspec.Meta) -> st.SearchStrategy[Any]:
    """Numbers within the bounds of a field."""
    if kind is int:
        return st.integers(bounds.ge, bounds.le)
    return st.floats(bounds.ge, bounds.le, allow_nan=False, allow_infinity=False)


def any_event() -> st.SearchStrategy[AnyEvent]:
    """Events of every kind, of the schema of this version."""
    return st.one_of(*map(values, EVENTS)).map(lambda event: msgspec.structs.replace(event, schema=1))


def any_settings() -> st.SearchStrategy[Settings]:
    """Valid settings, with at least one key of every type away from its default."""
    channels = st.none() | st.lists(st.floats(0.01, 1), min_size=3, max_size=3)
    tables = st.fixed_dictionaries(
        {
            "data": st.fixed_dictionaries({"root": st.text(min_size=1), "mean": channels, "std": channels}),
            "model": st.fixed_dictionaries({"width": st.integers(1, 1024)}),
            "train": st.fixed_dictionaries(
                {
                    "epochs": st.integers(1, 100_000),
                    "max_lr": st.floats(1e-6, 10),
                    "seed": st.integers(0, 2**32 - 1),
                    "schedule": st.sampled_from(["piecewise", "cyclical"]),
                }
            ),
            "attack": st.fixed_dictionaries({"epsilon": st.floats(0, 255) | st.integers(0, 255)}),
            "dom": st.fixed_dictionaries(
                {
                    "operate": st.sampled_from(["none", "remove", "augmix", "randaugment"]),
                    "iterations": st.integers(1, 100),
                    "warmup": st.floats(0, 1),
                }
            ),
            "evaluation": st.fixed_dictionaries({"train_attack": st.booleans()}),
        }
    )
    return tables.map(Settings.model_validate)


def started(time: float = 0.0, epoch: int = 0, epochs: int = 10) -> Started:
    return Started(
        time=time,
        settings_digest="0123456789abcdef",
        device="cpu",
        device_name="CPU",
        precision="float32",
        train_size=100,
        test_size=20,
        classes=10,
        image_shape=(3, 32, 32),
        parameters=1000,
        epochs=epochs,
        steps_per_epoch=4,
        epoch=epoch,
    )


def progress(epoch: int, step: int, phase: Literal["train", "test", "attack-train"] = "train") -> Progress:
    return Progress(phase=phase, epoch=epoch, step=step, steps=4, images_per_second=100.0)


def epoch_end(
    epoch: int,
    best: bool = False,
    natural: float = 0.5,
    pgd: float | None = 0.25,
    tested: bool = True,
    train_seconds: float = 3.0,
    test_seconds: float = 1.0,
) -> EpochEnd:
    return EpochEnd(
        epoch=epoch,
        lr=0.1,
        train=TrainMetrics(natural_loss=1.0, natural_accuracy=0.5),
        test=TestMetrics(natural_loss=1.0, natural_accuracy=natural, pgd_accuracy=pgd) if tested else None,
        train_attack=None,
        memorization=Memorization(
            threshold=1.5,
            high_confidence=3,
            original=None,
            transformed=None,
            entered=1,
            left=0,
            removed=0,
            augmented=0,
            histogram=(1, 2, 0, 0, 0, 97),
            overlap=None,
        ),
        best=best,
        train_seconds=train_seconds,
        test_seconds=test_seconds,
        images_per_second=100.0,
        memory=1 << 20,
    )


def saved(label: Literal["best", "last", "epoch"], epoch: int, path: str | None = None) -> CheckpointSaved:
    return CheckpointSaved(label=label, path=path or f"checkpoints/{label}.safetensors", epoch=epoch)


EXAMPLES: tuple[Event, ...] = (
    started(),
    progress(1, 2),
    epoch_end(1, best=True),
    saved("last", 1),
    Finished(seconds=12.5),
    Failed(cause="storage", reason="the disk is full"),
    Stopped(reason="asked to stop", epoch=1, step=2),
)
"""One event of every kind."""
