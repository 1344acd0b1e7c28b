"""The columns of the epoch lines: only those that a setting has, aligned, as many as the terminal is wide."""

from __future__ import annotations

import msgspec
import pytest

from domcli import events
from domcli.cli import figures
from domcli.cli.epochs import BEST_MARK, EpochTable
from domcli.presets import available, resolve

EPOCH = events.EpochEnd(
    epoch=12,
    lr=0.0123,
    train=events.TrainMetrics(natural_loss=1.5, natural_accuracy=0.43217, robust_loss=12.3456, robust_accuracy=1.0),
    test=events.TestMetrics(natural_loss=1.0, natural_accuracy=0.5, pgd_accuracy=0.25, one_step_accuracy=0.75),
    train_attack=None,
    memorization=events.Memorization(
        threshold=1.5,
        high_confidence=50000,
        original=40000,
        transformed=10000,
        entered=1,
        left=0,
        removed=49999,
        augmented=48888,
        histogram=(1,),
        overlap=None,
    ),
    best=True,
    train_seconds=123.4,
    test_seconds=10.0,
    images_per_second=100.0,
    memory=1,
)


def titles(table: EpochTable) -> list[str]:
    return [column.title for column in table.columns]


@pytest.mark.parametrize(
    ("preset", "has", "has_not"),
    [
        ("natural-baseline", ["natural"], ["PGD-20", "1-step", "removed", "augmented"]),
        ("pgd-dom-re", ["natural", "PGD-20", "removed"], ["1-step", "augmented"]),
        ("fgsm-dom-augmix", ["natural", "PGD-20", "1-step", "augmented"], ["removed"]),
    ],
)
def test_columns_are_those_of_the_setting(preset, has, has_not):
    table = EpochTable(resolve(preset))
    assert set(has) <= set(titles(table))
    assert set(has_not).isdisjoint(titles(table))
    assert ("train robust" in table.header()[0]) == (preset != "natural-baseline")


@pytest.mark.parametrize("preset", [info.name for info in available()])
def test_every_setting_fits_80_columns_and_is_aligned(preset):
    table = EpochTable(resolve(preset), 80)
    line, (groups, header) = table.line(EPOCH), table.header()
    assert len(line.rstrip()) <= len(header) <= 80
    assert len(groups) <= len(header)
    assert {"epoch", "natural", "all", "orig/transf"} <= set(titles(table))
    for title in ("all", "orig/transf", "epoch"):
        end = header.index(title) + len(title)
        value = {"all": "50000", "orig/transf": "40000/10000", "epoch": "12"}[title]
        assert line[:end].endswith(value)


def test_a_narrow_terminal_keeps_the_accuracies():
    assert {"epoch", "natural", "PGD-20"} <= set(titles(EpochTable(resolve("fgsm-dom-re"), 20)))


def test_values_of_a_line():
    line = EpochTable(resolve("fgsm-dom-re")).line(EPOCH)
    assert line.split() == [
        *("12", "0.0123", "1.500", "43.22", "12.35", "100.00", "50.00", "25.00*", "75.00"),
        *("50000", "40000/10000", "49999", "133"),
    ]


def test_the_mark_of_the_best_stands_at_the_accuracy_it_is_chosen_by():
    natural = resolve("natural-dom-re")
    assert " 50.00* " in EpochTable(natural).line(EPOCH)
    assert "*" not in EpochTable(natural).line(msgspec.structs.replace(EPOCH, best=False))


def test_an_epoch_without_an_evaluation_has_dashes():
    line = EpochTable(resolve("pgd-baseline")).line(msgspec.structs.replace(EPOCH, test=None, best=False))
    assert line.split()[6:8] == ["-", "-"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00:00"), (59.6, "0:01:00"), (3661, "1:01:01"), (90061, "1 d 1:01:01"), (None, "-")],
)
def test_durations(seconds, text):
    assert figures.duration(seconds) == text


@pytest.mark.parametrize(("preset", "chosen"), [("pgd-dom-re", "PGD"), ("natural-baseline", "natural")])
def test_the_signs_of_the_table_are_explained(preset, chosen):
    (legend,) = EpochTable(resolve(preset)).legend()
    assert legend.startswith(
        f"{BEST_MARK} best {chosen} accuracy so far; high-confidence: patterns with a natural loss"
    )
    assert legend.endswith("orig: so at the end of the warm-up, transf: later")
    narrow = EpochTable(resolve(preset), 36)
    assert "orig/transf" not in narrow.header()[1]
    assert "orig:" not in narrow.legend()[0]
