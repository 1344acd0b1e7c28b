"""`--set section.key=value`: every setting, by what it holds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from preset_problems import set_problems

from domcli import presets
from domcli.overrides import parse
from domcli.settings import Settings

TEXTS = ("data.root",)
CHOICES = ("data.dataset", "model.name", "train.schedule", "train.precision", "attack.name", "dom.operate")
NUMBERS = ("train.max_lr", "train.momentum", "attack.epsilon", "dom.threshold", "evaluation.alpha")
WHOLE = ("train.epochs", "train.seed", "data.train_images", "checkpoint.every", "attack.steps")
SWITCHES = ("memorization.record", "evaluation.train_attack")
LISTS = ("data.mean", "data.std")


def every_key() -> Iterator[tuple[str, Any]]:
    for section, table in Settings().model_dump().items():
        for key, value in table.items() if isinstance(table, dict) else ():
            yield f"{section}.{key}", value


def value_of(override: str) -> Any:
    section, _, key = override.partition("=")[0].partition(".")
    return getattr(getattr(presets.resolve("pgd-dom-re", [override]), section), key)


@pytest.mark.parametrize(("key", "value"), list(every_key()))
def test_every_setting_is_set_to_what_it_is(key: str, value: Any) -> None:
    if value is not None:
        written = str(value).lower() if isinstance(value, bool) else str(value)
        found = value_of(f"{key}={written}")
        assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("value", ["2024", "2024-05-01", "true", ".1", "03", "inf", "[1, 2]", "1e-3", "a = b", "{}"])
@pytest.mark.parametrize("key", TEXTS)
def test_text_is_taken_as_it_is_typed(key: str, value: str) -> None:
    assert value_of(f"{key}={value}") == value
    assert value_of(f'{key}="{value}"') == value
    assert value_of(f"{key}='{value}'") == value


@pytest.mark.parametrize("value", ["1", "inf", "true", "[1]", "2024-05-01"])
@pytest.mark.parametrize("key", CHOICES)
def test_a_word_that_is_none_of_the_choices_is_refused_as_it_was_typed(key: str, value: str) -> None:
    (problem,) = set_problems(f"{key}={value}")
    assert problem.startswith(f'--set {key}={value}: {key} is "{value}"; it must be one of ')


@pytest.mark.parametrize(
    ("written", "value"),
    [(".1", 0.1), ("0.", 0.0), ("+.5", 0.5), ("1e-3", 1e-3), ("5E-1", 0.5), ("0.2_5", 0.25), ("00.5", 0.5)],
)
@pytest.mark.parametrize("key", ["train.momentum", "dom.strength", "dom.warmup"])
def test_numbers_are_read_as_other_programs_write_them(key: str, written: str, value: float) -> None:
    assert value_of(f"{key}={written}") == value


@pytest.mark.parametrize(("written", "value"), [("03", 3), ("+1", 1), ("1_000", 1000), ("0x10", 16), ("007", 7)])
@pytest.mark.parametrize("key", WHOLE)
def test_whole_numbers_are_read_as_other_programs_write_them(key: str, written: str, value: int) -> None:
    found = value_of(f"{key}={written}")
    assert (found, type(found)) == (value, int)


@pytest.mark.parametrize("key", [*WHOLE, *NUMBERS])
def test_a_number_that_cannot_even_be_written_is_refused_as_it_was_typed(key: str) -> None:
    (problem,) = set_problems(f"{key}=0x{'f' * 5000}")
    assert re.fullmatch(rf'--set {key}=0xf+\.\.\.: {key} is "0xf+\.\.\. \(text\); it must be a .*number', problem)


UNSET = ("data.train_images", "data.test_images", "train.schedule_epochs")
EVERY_WHOLE = [*UNSET, *(key for key, value in every_key() if type(value) is int)]


@pytest.mark.parametrize("key", EVERY_WHOLE)
def test_whole_numbers_end_somewhere(key: str) -> None:
    """And no run is made that could not be read again."""
    assert set_problems(f"{key}={10**23}") == [f"--set {key}={10**23}: {key} is a whole number of more than 64 bits"]
    (problem,) = set_problems(f"{key}={10**12}")
    assert re.fullmatch(rf"--set {key}=10{{12}}: {key} is 10{{12}}; it must be (at most|less than) \d+", problem)
    (problem,) = set_problems(f"{key}={'9' * 5000}")
    assert len(problem) < 250
    assert f"{key} is 9999" in problem


@pytest.mark.parametrize(("written", "value"), [("True", True), ("FALSE", False), ("true", True), ("false", False)])
@pytest.mark.parametrize("key", SWITCHES)
def test_switches_are_read_in_any_case(key: str, written: str, value: bool) -> None:
    assert value_of(f"{key}={written}") is value


@pytest.mark.parametrize("written", ["[.5, 1.]", "[0.5, 1]", ".5,1", "0.5, 1.0", "[.5,01]"])
@pytest.mark.parametrize("key", LISTS)
def test_lists_are_read_with_brackets_and_without(key: str, written: str) -> None:
    assert value_of(f"{key}={written}") == (0.5, 1.0)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.epochs=", 'train.epochs is "" (text); it must be a whole number'),
        ("data.root=", 'data.root is ""; it must not be empty'),
        ("data.mean=", 'data.mean is "" (text); it must be a list of numbers'),
        ("memorization.record=", 'memorization.record is "" (text); it must be true or false'),
        ("train.epochs=1e3", "train.epochs is 1e3; it must be a whole number"),
        ("train.epochs='3'", 'train.epochs is "3" (text); it must be a whole number'),
        ("train.epochs=٣", 'train.epochs is "٣" (text); it must be a whole number'),
        ("train.max_lr=inf", "train.max_lr is inf; it must be a finite number"),
        ("train.max_lr=Infinity", "train.max_lr is Infinity; it must be a finite number"),
        ("train.max_lr=0,1", 'train.max_lr is "0,1" (text); it must be a number'),
        ("memorization.record=yes", 'memorization.record is "yes" (text); it must be true or false'),
        ("memorization.record=1", "memorization.record is 1; it must be true or false"),
        ("data.mean=.5,x", 'value 2 of data.mean is "x" (text); it must be a number'),
        ("attack.norm=Linf", 'attack.norm is "Linf"; it must be one of linf, l2'),
    ],
)
def test_what_is_no_value_of_the_setting_is_refused_by_name(override: str, said: str) -> None:
    assert set_problems(override) == [f"--set {override}: {said}"]


@given(st.sampled_from([key for key, _ in every_key()] + ["train.none", "none.epochs"]), st.text(max_size=30))
def test_any_text_is_some_value_of_any_setting(key: str, text: str) -> None:
    section, name, value = parse(f"{key}={text}")
    assert f"{section}.{name}" == key
    assert key not in TEXTS or isinstance(value, str)


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("mine.py", ["mine.py"]),
        ('["a.py", "b.py"]', ["a.py", "b.py"]),
        (" ~/my files/a.py , b.py", ["~/my files/a.py", "b.py"]),
    ],
)
def test_extensions_stand_in_no_section(typed: str, read: list[str]) -> None:
    assert parse(f"extensions={typed}") == ("", "extensions", read)
