"""Settings that name entries of the catalogue, and the numbers of such entries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli
import tomli_w
from catalogued import added
from preset_problems import set_problems

from domcli import presets, rundir
from domcli.catalogue import OBJECTIVES, OPERATIONS, THRESHOLDS, Objective, Operation, Option, ThresholdRule
from domcli.dashboard.settings_form import choices, describe, every_key
from domcli.errors import SettingsError
from domcli.settings import Settings, unwritten

RECORDED = {
    "natural-dom-randaugment": ("7a25478d3eb5f34f", "4eda13cda3f23b67"),
    "pgd-dom-re": ("62535a7d3626df40", "9784a8570bf20fef"),
    "pgd-baseline": ("fd34fd89a05d8884", "9f55a8184cdd3f01"),
    "fgsm-dom-augmix": ("e02132d7ee14e8e8", "96e96a997c467961"),
}
"""The digests of presets, and with `--quick`, as they were before objectives, rules and options could be chosen."""

TRADES = Objective(
    name="halves",
    about="half of this and half of that",
    work="domcli.nowhere:loss",
    options=(
        Option("beta", 6.0, "Weight of that", least=0.0, most=10.0),
        Option("share", 0.5, "Part of this"),
    ),
)


@pytest.fixture
def halves() -> Iterator[Objective]:
    with added(OBJECTIVES, TRADES):
        yield TRADES


@pytest.mark.parametrize("name", RECORDED)
def test_runs_of_earlier_versions_are_repetitions_of_those_of_now(name: str) -> None:
    found = presets.resolve(name)
    assert (found.digest(), presets.resolve(name, quick=True).digest()) == RECORDED[name]
    assert found.fingerprint() == f"{RECORDED[name][0]}-seed0"


def test_what_is_as_it_always_was_is_not_written(halves: Objective) -> None:
    same = presets.resolve("pgd-dom-re", ["train.objective=cross-entropy", "dom.rule=fixed", "options.halves-beta=6"])
    assert same.to_dict() == presets.resolve("pgd-dom-re").to_dict()
    assert same.digest() == RECORDED["pgd-dom-re"][0]
    assert unwritten() == {
        "train.objective": "cross-entropy",
        "dom.rule": "fixed",
        "options.halves-beta": 6.0,
        "options.halves-share": 0.5,
    }
    assert same.complete()["options"] == {"halves-beta": 6.0, "halves-share": 0.5}


def test_what_is_chosen_is_written_and_told_apart(halves: Objective) -> None:
    with added(THRESHOLDS, ThresholdRule(name="growing", about="it grows", work=len)):
        changes = ("train.objective=halves", "dom.rule=growing", "options.halves-beta=3")
        found = [presets.resolve("pgd-dom-re", [change]) for change in changes]
        whole = presets.resolve("pgd-dom-re", changes)
    assert len({one.digest() for one in (*found, whole, presets.resolve("pgd-dom-re"))}) == 5
    assert whole.to_dict()["options"] == {"halves-beta": 3.0}
    assert (whole.train.objective, whole.dom.rule) == ("halves", "growing")
    assert halves.values(whole.options) == {"beta": 3.0, "share": 0.5}
    again = tomli.loads(tomli_w.dumps(whole.to_dict()))
    assert Settings.model_validate(again, context={presets.UNKNOWN_TOO: True}) == whole


def test_options_are_checked(halves: Objective) -> None:
    # What is no number is told first.
    assert set_problems("options.halves-beta=-1", "options.halves-share=many") == [
        '--set options.halves-share=many: options.halves-share is "many" (text); it must be a number',
    ]
    assert set_problems("options.halves-beta=-1", "options.halves-shore=1") == [
        "--set options.halves-beta=-1: options.halves-beta is -1; it must be at least 0",
        "--set options.halves-shore=1: unknown key options.halves-shore; did you mean options.halves-share?",
    ]
    assert set_problems("options.halves-beta=11") == [
        "--set options.halves-beta=11: options.halves-beta is 11; it must be at most 10"
    ]
    assert set_problems("options.halves-beta=inf") == [
        "--set options.halves-beta=inf: options.halves-beta is inf; it must be a finite number"
    ]


def test_without_options_there_is_no_key() -> None:
    assert set_problems("options.beta=1") == [
        "--set options.beta=1: unknown key options.beta; nothing has options here"
    ]
    with pytest.raises(SettingsError, match=r"options is 3; it must be a section: a line"):
        presets.resolve_tables({"options": 3}, "here")


def test_an_option_is_described_in_the_form(halves: Objective) -> None:
    assert every_key(Settings())["options.halves-beta"] == 6.0
    assert describe("options.halves-beta") == "Weight of that, from 0 to 10."
    assert choices("options.halves-beta") == []


def test_only_what_can_be_done_to_every_image_is_allowed_there() -> None:
    with added(OPERATIONS, Operation(name="blur", about="blurred", does="augment", work=len)):
        said = set_problems("data.augment=blur", "dom.operate=drop")
    assert said == [
        '--set data.augment=blur: data.augment is "blur"; it must be one of none, augmix, randaugment',
        '--set dom.operate=drop: dom.operate is "drop"; it must be one of none, remove, augmix, randaugment, blur',
    ]


def test_a_run_of_an_extension_can_be_looked_at_and_not_trained(tmp_path: Path, halves: Objective) -> None:
    names = {"dataset": "tiny", "augment": "blur"}
    tables = {
        "data": names,
        "model": {"name": "vit"},
        "train": {"schedule": "cosine", "objective": "trades"},
        "attack": {"name": "mart"},
        "dom": {"operate": "mix", "rule": "adaptive"},
        "options": {"trades-beta": 6},
    }
    run = rundir.create(tmp_path, "one", tables, {})
    found = presets.from_run(run)
    assert (found.data.dataset, found.train.objective, found.options) == ("tiny", "trades", {"trades-beta": 6.0})
    assert found.to_dict()["options"] == {"trades-beta": 6.0}
    for read in (lambda: presets.from_run(run, to_train=True), lambda: presets.resolve(str(run.settings))):
        with pytest.raises(SettingsError) as refused:
            read()
        assert len(refused.value.sentences) == 9
        assert 'line 2: data.dataset is "tiny"; it must be one of cifar10' in str(refused.value)


def test_a_name_in_a_run_is_text_all_the_same(tmp_path: Path) -> None:
    run = rundir.create(tmp_path, "one", {"data": {"dataset": 3}}, {})
    with pytest.raises(SettingsError, match=r"data\.dataset is 3; it must be one of cifar10"):
        presets.from_run(run)
