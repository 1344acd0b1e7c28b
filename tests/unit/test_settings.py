from __future__ import annotations

from typing import Any

import pytest
import tomli
import tomli_w
from hypothesis import given
from pydantic import ValidationError
from samples import any_settings

from domcli.settings import ADDED_LATER, Settings

DESIGN = {
    "data": {"dataset": "cifar10", "root": "data", "augment": "none"},
    "model": {"name": "preactresnet18", "width": 64},
    "train": {
        "epochs": 200,
        "batch_size": 128,
        "max_lr": 0.1,
        "schedule": "piecewise",
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "seed": 0,
        "precision": "auto",
    },
    "attack": {"name": "pgd", "norm": "linf", "epsilon": 8.0, "alpha": 2.0, "steps": 10, "restarts": 1},
    "dom": {"operate": "remove", "threshold": 1.5, "warmup": 0.5, "strength": 0.0, "iterations": 0},
    "evaluation": {"attack": "pgd", "alpha": 2.0, "steps": 20, "restarts": 1, "every": 1, "train_attack": False},
    "checkpoint": {"every": 10},
    "memorization": {"record": False},
}

OTHER = {
    "data": {
        "dataset": "svhn",
        "root": "elsewhere",
        "train_images": 10,
        "test_images": 10,
        "mean": [0.5],
        "std": [0.5],
        "augment": "augmix",
    },
    "model": {"name": "wideresnet34-10", "width": 16},
    "train": {
        "epochs": 3,
        "schedule_epochs": 4,
        "batch_size": 4,
        "max_lr": 0.2,
        "schedule": "cyclical",
        "momentum": 0.0,
        "weight_decay": 0.0,
        "seed": 1,
        "precision": "float32",
    },
    "attack": {"name": "fgsm", "norm": "l2", "epsilon": 4.0, "alpha": 1.0, "steps": 7, "restarts": 2},
    "dom": {"operate": "none", "threshold": 2.0, "warmup": 0.25, "strength": 0.5, "iterations": 3},
    "evaluation": {"attack": "none", "alpha": 1.0, "steps": 10, "restarts": 2, "every": 5, "train_attack": True},
    "checkpoint": {"every": 0},
    "memorization": {"record": True},
}
"""A valid value away from the default for every key."""

KEYS = [(section, key) for section, table in OTHER.items() for key in table]


def settings(section: str, key: str, value: Any) -> Settings:
    return Settings.model_validate({section: {key: value}})


def test_defaults_are_those_of_the_papers_main_experiment() -> None:
    assert Settings().to_dict() == DESIGN


def test_every_key_is_covered_here_and_explained() -> None:
    explained = {
        (section, key): field.description
        for section in Settings.model_fields
        if section not in ("options", "extensions")
        for key, field in type(getattr(Settings(), section)).model_fields.items()
    }
    assert set(explained) == {*KEYS, *ADDED_LATER}
    assert all(explained.values())


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("data", "root", ""),
        ("data", "dataset", "mnist"),
        ("data", "train_images", 0),
        ("data", "mean", []),
        ("data", "mean", [0.1] * 5),
        ("data", "mean", [0.5, "0.5", 0.5]),
        ("data", "std", [0.2, 0.0, 0.2]),
        ("model", "name", "resnet18"),
        ("model", "width", 0),
        ("train", "epochs", 0),
        ("train", "epochs", "200"),
        ("train", "epochs", 2.0),
        ("train", "batch_size", 0),
        ("train", "batch_size", True),
        ("train", "max_lr", 0),
        ("train", "max_lr", float("nan")),
        ("train", "momentum", 1.0),
        ("train", "weight_decay", -1e-9),
        ("train", "seed", -1),
        ("train", "seed", 2**32),
        ("train", "precision", "float16"),
        ("attack", "name", "trades"),
        ("attack", "epsilon", -1),
        ("attack", "epsilon", float("inf")),
        ("attack", "alpha", 0),
        ("attack", "steps", 0),
        ("attack", "restarts", 0),
        ("dom", "operate", "drop"),
        ("dom", "threshold", 0),
        ("dom", "warmup", 1.01),
        ("dom", "strength", -0.01),
        ("dom", "iterations", 101),
        ("evaluation", "attack", "fgsm"),
        ("evaluation", "every", 0),
        ("evaluation", "train_attack", 1),
        ("checkpoint", "every", -1),
        ("memorization", "record", "yes"),
        ("train", "epoch", 200),
    ],
)
def test_a_wrong_value_is_refused(section: str, key: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(section, key, value)
    assert refused.value.errors()[0]["loc"][0] == section


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("attack", "epsilon", 0),
        ("train", "epochs", 1),
        ("train", "seed", 2**32 - 1),
        ("dom", "warmup", 0),
        ("dom", "warmup", 1),
        ("dom", "strength", 1),
        ("checkpoint", "every", 0),
        ("data", "std", [0.1, 0.2, 0.3, 0.4]),
    ],
)
def test_the_ends_of_a_range_are_allowed(section: str, key: str, value: Any) -> None:
    assert settings(section, key, value).to_dict()[section][key] == value


@pytest.mark.parametrize("operate", ["augmix", "randaugment"])
def test_augmentation_without_iterations_is_refused(operate: str) -> None:
    with pytest.raises(ValidationError, match="needs iterations of at least 1"):
        settings("dom", "operate", operate)
    assert Settings.model_validate({"dom": {"operate": operate, "iterations": 1}}).dom.iterations == 1


def test_mean_and_std_speak_of_the_same_channels() -> None:
    with pytest.raises(ValidationError, match="mean has 1 values and std 3"):
        Settings.model_validate({"data": {"mean": [0.5], "std": [0.2, 0.2, 0.2]}})
    assert settings("data", "mean", [0.5]).data.mean == (0.5,)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().train.epochs = 3  # type: ignore[misc]


def test_an_unknown_section_is_refused() -> None:
    with pytest.raises(ValidationError, match="trian"):
        Settings.model_validate({"trian": {}})


@given(any_settings())
def test_settings_survive_a_file(original: Settings) -> None:
    text = tomli_w.dumps(original.to_dict())
    again = Settings.model_validate(tomli.loads(text))
    assert again == original
    assert again.digest() == original.digest()


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_the_digest_tells_all_settings_apart_but_not_seeds(section: str, key: str) -> None:
    changed = settings(section, key, OTHER[section][key])
    assert changed != Settings()
    assert (changed.digest() == Settings().digest()) == (key == "seed")


def test_the_digest_does_not_depend_on_how_a_number_is_written() -> None:
    assert settings("attack", "epsilon", 4).digest() == settings("attack", "epsilon", 4.0).digest()


@pytest.mark.parametrize(
    ("changes", "doubted"),
    [
        ({}, []),
        ({"attack": {"epsilon": 8 / 255}}, ["attack.epsilon"]),
        ({"attack": {"epsilon": 0.5, "norm": "l2"}}, ["attack.epsilon"]),
        ({"attack": {"epsilon": 0.99, "alpha": 0.01}, "evaluation": {"alpha": 0.01}}, [
            "attack.epsilon", "attack.alpha", "evaluation.alpha",
        ]),
        ({"attack": {"epsilon": 0, "alpha": 1.0}}, []),
        ({"attack": {"epsilon": 255}}, []),
        ({"attack": {"epsilon": 256}}, ["attack.epsilon"]),
        ({"attack": {"epsilon": 765, "norm": "l2"}}, []),
        ({"attack": {"name": "none", "alpha": 0.1}}, []),
        ({"attack": {"name": "none", "epsilon": 0.1}}, ["attack.epsilon"]),
        ({"attack": {"name": "none", "epsilon": 0.1}, "evaluation": {"attack": "none", "alpha": 0.1}}, []),
    ],
)  # fmt: skip
def test_strengths_on_another_scale_are_doubted(changes: dict[str, Any], doubted: list[str]) -> None:
    found = Settings.model_validate(changes).doubts()
    assert [doubt.partition(" is ")[0] for doubt in found] == doubted
    assert all("in 1/255" in doubt for doubt in found)


def test_a_doubt_says_what_to_write() -> None:
    (doubt,) = Settings.model_validate({"attack": {"epsilon": 8 / 255}}).doubts()
    assert doubt.endswith("if 0.0313725 of images in [0, 1] is meant, write 8")


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"epochs": 300, "schedule_epochs": 200}, True),
        ({"epochs": 100, "schedule_epochs": 200}, True),
        ({"epochs": 200, "schedule_epochs": 200}, True),
        ({"epochs": 300}, False),
        ({"epochs": 300, "schedule_epochs": 100}, False),
        ({"max_lr": 0.2}, False),
        ({"seed": 1}, False),
    ],
)
def test_a_fingerprint_does_not_tell_how_far_along_its_schedule_a_run_goes(changes: dict[str, Any], same: bool) -> None:
    found = Settings.model_validate({"train": changes})
    assert (found.fingerprint() == Settings().fingerprint()) == same
    assert Settings().fingerprint() == f"{Settings().digest()}-seed0"


def test_a_cyclical_schedule_has_no_epochs_after_it() -> None:
    assert settings("train", "schedule_epochs", 7).train.span == 7
    Settings.model_validate({"train": {"schedule": "cyclical", "epochs": 5, "schedule_epochs": 7}})
    with pytest.raises(ValidationError, match="the learning rate of the cyclical schedule is 0"):
        Settings.model_validate({"train": {"schedule": "cyclical", "epochs": 8, "schedule_epochs": 7}})
