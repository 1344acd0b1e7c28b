"""CSV of all epochs: every field of the event under a stable name."""

from __future__ import annotations

import csv
import io

import msgspec
import pytest
from hypothesis import given
from samples import epoch_end, started, values

from domcli import events, rundir
from domcli.events import EpochEnd
from domcli.exchange import table
from domcli.runstate import RunState
from domcli.settings import Settings


@pytest.fixture
def run(tmp_path):
    """A run directory with seed 3."""
    settings = Settings.model_validate({"train": {"seed": 3}})
    return rundir.create(tmp_path / "runs", "one", settings.to_dict(), {"preset": "pgd-dom-re"})


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_the_columns_are_the_flat_fields_of_the_event():
    columns = table.event_columns()
    assert columns[:5] == ("epoch", "time", "lr", "train.natural_loss", "train.natural_accuracy")
    assert {"test.pgd_accuracy", "train_attack.one_step_loss", "memorization.transformed"} < set(columns)
    assert [name for name in columns if "histogram" in name] == [f"memorization.histogram.{n}" for n in range(6)]
    assert len(set(columns)) == len(columns) == 39


def test_a_row_says_what_the_event_says(run):
    state = RunState(started=started(), epochs=(epoch_end(1, best=True), epoch_end(2, natural=0.625, pgd=None)))
    first, second = rows(table.csv_text([(run, state)]))
    assert {name: first[name] for name in table.ABOUT_THE_RUN} == {
        "run": "one",
        "path": str(run.path),
        "preset": "pgd-dom-re",
        "seed": "3",
    }
    assert (first["epoch"], first["best"], first["test.pgd_accuracy"]) == ("1", "true", "0.25")
    assert (second["epoch"], second["best"], second["test.natural_accuracy"]) == ("2", "false", "0.625")
    assert second["test.pgd_accuracy"] == ""
    assert (first["memorization.histogram.1"], first["memorization.histogram.5"]) == ("2", "97")
    assert (first["memorization.original"], first["memory"]) == ("", str(1 << 20))


def test_what_was_not_measured_is_an_empty_cell_and_the_columns_stay(run):
    imported = msgspec.structs.replace(epoch_end(1, tested=False), memorization=None, memory=None)
    (row,) = rows(table.csv_text([(run, RunState(epochs=(imported,)))]))
    empty = {name for name, cell in row.items() if cell == ""}
    assert {"test.natural_accuracy", "memorization.threshold", "memorization.histogram.0", "memory"} < empty
    assert list(row) == [*table.ABOUT_THE_RUN, *table.event_columns()]
    (header,) = table.csv_text([(run, RunState())]).splitlines()
    assert header.split(",") == list(row)


def test_numbers_survive_to_the_last_digit(run):
    precise = events.TestMetrics(natural_loss=0.1 + 0.2, natural_accuracy=1 / 3)
    state = RunState(epochs=(msgspec.structs.replace(epoch_end(1), test=precise),))
    (row,) = rows(table.csv_text([(run, state)]))
    assert (float(row["test.natural_loss"]), float(row["test.natural_accuracy"])) == (0.1 + 0.2, 1 / 3)


def test_names_with_commas_are_quoted(run):
    moved = run.path.rename(run.path.with_name('a,"b"'))
    (row,) = rows(table.csv_text([(rundir.RunDirectory(moved), RunState(epochs=(epoch_end(1),)))]))
    assert (row["run"], row["epoch"]) == ('a,"b"', "1")


@given(values(EpochEnd))
def test_every_value_of_any_event_is_found_under_its_name(epoch):
    found = table.values(epoch)
    assert set(found) <= set(table.event_columns())
    for name, value in found.items():
        part = epoch
        for step in name.split("."):
            part = part[int(step)] if step.isdigit() else getattr(part, step)
        assert part == value
    assert None not in found.values()
