"""Every entry of the catalogue, and one of each kind that is added, through everything that reads it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from catalogued import EVERY, FRESH, added, chosen, kind_of, known, of
from official_logs import epoch_line, opening, write

from domcli import presets
from domcli.catalogue import (
    ATTACKS,
    DATASETS,
    KINDS,
    NETWORKS,
    OBJECTIVES,
    OPERATIONS,
    SCHEDULES,
    THRESHOLDS,
    Attack,
    Choice,
    Entry,
    Kind,
    Network,
    Objective,
    Operation,
    Schedule,
)
from domcli.cli.presets import document
from domcli.dashboard.settings_form import choices, describe
from domcli.errors import SettingsError
from domcli.exchange.official import COLUMNS, read_log
from domcli.exchange.official_settings import settings_of
from domcli.launch.prepare import BYTES_A_PARAMETER, STREAM_AND_LOG_BYTES, checkpoint_bytes
from domcli.settings import Settings
from domcli.timing import work
from domcli.timing.estimate import step_key


@pytest.fixture
def entry(request: pytest.FixtureRequest) -> Iterator[Any]:
    with known(*request.param) as found:
        yield found


def choice_of(key: str) -> Choice:
    section, _, name = key.partition(".")
    info = type(getattr(Settings(), section)).model_fields[name]
    return next(one for one in info.metadata if isinstance(one, Choice))


@of(*KINDS)
def test_settings_take_it_and_say_what_it_is(entry: Entry) -> None:
    kind = kind_of(entry)
    assert kind[entry.name] is entry
    for key in kind.keys:
        section, _, name = key.partition(".")
        if not choice_of(key).fits(entry):
            continue
        found = presets.resolve("pgd-dom-re", [f"{key}={entry.name}", "dom.iterations=1"])
        assert getattr(getattr(found, section), name) == entry.name
        with pytest.raises(SettingsError) as refused:
            presets.resolve("pgd-dom-re", [f"{key}=nonsense"])
        assert entry.name in str(refused.value).partition("it must be one of ")[2].split(", ")
        assert entry.name in choices(key)
        for text in (describe(key), document(found)):
            assert f"{entry.name}: {entry.about}" in text
        for option in entry.options:
            assert option.meaning in document(found)
            assert describe(f"options.{entry.name}-{option.name}") == option.meaning
            assert presets.resolve("pgd-dom-re", [f"options.{entry.name}-{option.name}={option.default}"])


@of(*KINDS)
def test_its_choice_is_in_the_digest_and_in_the_file(entry: Entry) -> None:
    found, key = chosen(entry), kind_of(entry).keys[0]
    section, _, name = key.partition(".")
    usual = presets.resolve("pgd-dom-re", ["dom.iterations=1"])
    same = found.complete() == usual.complete()
    assert (found.digest() == usual.digest()) == same
    assert presets.resolve_tables(found.to_dict(), "here") == found
    assert found.complete()[section][name] == entry.name


@of(*KINDS)
def test_it_is_a_phrase(entry: Entry) -> None:
    assert entry.about
    assert not entry.about.endswith(".")
    assert entry.name == entry.name.strip().lower()
    assert entry.work is None or not isinstance(entry.work, str) or entry.work.count(":") == 1


def test_a_name_is_taken_once_and_a_near_one_is_told() -> None:
    for kind in KINDS:
        with pytest.raises(SettingsError, match=f"the {kind.title} '.*' is there already"):
            kind.add(next(iter(kind)))
        assert kind.get("nonsense") is kind.get(3) is None
    with pytest.raises(SettingsError, match="unknown data set 'cifar1'; did you mean cifar10"):
        DATASETS["cifar1"]
    with pytest.raises(SettingsError, match="unknown schedule 'zzz'; there are piecewise, cyclical"):
        SCHEDULES["zzz"]


def test_the_defaults_are_entries() -> None:
    for kind in KINDS:
        for key in kind.keys:
            section, _, name = key.partition(".")
            assert kind.get(getattr(getattr(Settings(), section), name)) is not None


@pytest.mark.parametrize("kind", [NETWORKS, OPERATIONS], ids=lambda kind: kind.title)
def test_official_names_are_there_once(kind: Kind[Any]) -> None:
    found = Counter(entry.official for entry in kind if entry.official is not None)
    assert set(found.values()) == {1}


@of(NETWORKS, OPERATIONS)
def test_official_logs_come_back_as_what_they_name(entry: Any, tmp_path: Path) -> None:
    if entry.official is None:
        return
    named = {"model": entry.official} if isinstance(entry, Network) else {"operate": entry.official}
    lines = [*opening(**named, max_arg_iteration=1), epoch_line(0, lr=0.1)]
    found = settings_of(read_log(write(tmp_path / "output.log", lines)))
    assert entry.name in (found.model.name, found.dom.operate)


@pytest.mark.parametrize("name", COLUMNS)
def test_the_official_attacks_have_the_papers_threshold(name: str) -> None:
    assert ATTACKS[name].official_threshold is not None


@of(NETWORKS)
def test_a_network_is_as_large_as_it_says(entry: Network) -> None:
    found = chosen(entry, "model.width=32", "checkpoint.every=0")
    parameters = entry.size.parameters(32, 3, 10)
    assert checkpoint_bytes(found) == pytest.approx(5 * BYTES_A_PARAMETER * parameters + STREAM_AND_LOG_BYTES)
    assert work.multiply_adds(found) == entry.size.multiply_adds(32, 3, 10, 32) > 0
    assert entry.name in step_key(found)
    assert entry.smallest >= 1
    wide, narrow = (work.multiply_adds(chosen(entry, f"model.width={width}")) for width in (64, 16))
    assert wide > narrow


@of(NETWORKS)
def test_the_floor_of_a_step_is_that_of_the_network(entry: Network) -> None:
    from domcli.trainer.bench import floor, remaining

    limits = floor.Limits(1e12, "known", 1e12, "known")
    found = floor.floor(chosen(entry), 0.5, "float32", limits)
    assert found.flop == 2 * work.multiply_adds(chosen(entry)) * 128 * 24
    assert found.bytes > 0
    assert remaining.evaluation_guess(chosen(entry), 100, 1e12) > 0
    assert remaining.step_guess(chosen(entry), "plain", 1e12) > remaining.step_guess(chosen(entry), "domcli", 1e12)


@of(OBJECTIVES)
def test_an_objective_costs_what_it_says_where_something_is_attacked(entry: Objective) -> None:
    usual = presets.resolve("pgd-dom-re")
    assert work.step_passes(chosen(entry), 0.5) == work.step_passes(usual, 0.5) + entry.extra
    natural = presets.resolve("natural-dom-re")
    assert work.step_passes(chosen(entry, preset="natural-dom-re"), 0.5) == work.step_passes(natural, 0.5)
    assert (step_key(chosen(entry)) == step_key(usual)) == (entry.name == "cross-entropy")


@of(OBJECTIVES, THRESHOLDS)
def test_options_are_numbers_within_their_bounds(entry: Entry) -> None:
    assert entry.values({}) == {option.name: option.default for option in entry.options}
    for option in entry.options:
        assert option.least is None or option.default >= option.least
        assert option.most is None or option.default <= option.most


@of(SCHEDULES)
def test_a_schedule_gives_rates_up_to_the_maximum(entry: Schedule) -> None:
    from domcli.trainer.schedule import learning_rate

    train = chosen(entry, "train.epochs=8", "train.max_lr=0.5").train
    rates = [learning_rate(t / 4, train) for t in range(1, 33)]
    assert all(math.isfinite(rate) and 0 <= rate <= 0.5 for rate in rates)
    assert max(rates) > 0
    assert (rates[-1] == 0) == entry.ends_at_zero
    longer = ["train.epochs=9", "train.schedule_epochs=8"]
    if entry.ends_at_zero:
        with pytest.raises(SettingsError, match=f"of the {entry.name} schedule is 0"):
            chosen(entry, *longer)
    else:
        assert chosen(entry, *longer).train.span == 8


@of(ATTACKS)
def test_an_attack_has_a_paradigm_that_presets_are_listed_by(entry: Attack) -> None:
    assert entry.title.endswith("overfitting)")
    if all(entry is not fresh for fresh in FRESH[ATTACKS]):
        assert entry.paradigm in presets.PARADIGMS


@of(OPERATIONS)
def test_an_operation_has_a_method_that_presets_are_listed_by(entry: Operation) -> None:
    assert bool(entry.method) == bool(entry.label) == entry.acts
    assert entry.everywhere or entry.acts
    assert not (entry.weighs and entry.everywhere)
    if entry.acts and all(entry is not fresh for fresh in FRESH[OPERATIONS]):
        assert entry.method in presets.METHODS


def test_presets_are_listed_as_the_papers_tables_are() -> None:
    assert presets.PARADIGMS == ("natural", "pgd", "fgsm")
    assert presets.METHODS == ("dom-re", "dom-augmix", "dom-randaugment", "baseline", "augmix", "randaugment")


@of(ATTACKS)
def test_the_cost_of_an_attack(entry: Attack) -> None:
    found = chosen(entry, "attack.steps=4", "attack.restarts=3", "dom.operate=none")
    steps = entry.steps(4) * 3
    assert work.step_passes(found, 0.5).of_attacks == steps
    assert work.evaluation_passes(found).input_gradient == 20 + (3 if entry.one_step else 0)
    assert (f"{entry.steps(4)}, 3)" in step_key(found)) == entry.perturbs


@of(OPERATIONS)
def test_the_cost_of_an_operation(entry: Operation) -> None:
    without = work.step_passes(presets.resolve("pgd-baseline"), 0.5)
    assert work.step_passes(chosen(entry), 0.5).total - without.total == (0.5 if entry.augments else 0)
    key = step_key(chosen(entry))
    assert (f"('{entry.name}', 1)" if entry.augments else f"('{entry.name}',)") in key


def test_measurements_that_are_kept_keep_their_keys() -> None:
    network = ("preactresnet18", 64, "auto")
    expected = {
        "natural-baseline": (network, 128, (), ("none",), "none"),
        "natural-augmix": (network, 128, (), ("none",), "augmix"),
        "fgsm-dom-re": (network, 128, ("linf", 1, 1), ("remove",), "none"),
        "pgd-dom-augmix": (network, 128, ("linf", 10, 1), ("augmix", 2), "none"),
    }
    assert {name: step_key(presets.resolve(name)) for name in expected} == {
        name: repr(key) for name, key in expected.items()
    }


def test_an_added_entry_is_gone_afterwards() -> None:
    before = {kind.title: kind.names for kind in KINDS}
    for kind in KINDS:
        with added(kind, *FRESH[kind]):
            assert kind.names[-len(FRESH[kind]) :] == tuple(entry.name for entry in FRESH[kind])
    assert {kind.title: kind.names for kind in KINDS} == before


def test_entries_cannot_be_changed() -> None:
    for _, one in EVERY:
        with pytest.raises(AttributeError):
            one.name = "other"
        assert replace(one, name="other").name == "other"
