"""Every function that reads a file ends in a value or in a sentence, whatever became of the file."""

from __future__ import annotations

import random

import damage_readers
import pytest
from damage_readers import READERS, changed, outcome
from hypothesis import given, settings
from hypothesis import strategies as st

from domcli.rundir import RunDirectory


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return damage_readers.make(tmp_path_factory.mktemp("any"))


@pytest.mark.parametrize("name", READERS)
@given(chance=st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_a_reader_ends_in_a_value_or_a_sentence(run: RunDirectory, name: str, chance: random.Random) -> None:
    reader = READERS[name]
    content = (run.path / reader.file).read_bytes()
    problem = outcome(reader, run, changed(content, chance))
    if problem is not None:
        raise problem


@pytest.mark.parametrize("name", READERS)
def test_a_reader_takes_what_is_in_order(run: RunDirectory, name: str) -> None:
    READERS[name].read(run)
