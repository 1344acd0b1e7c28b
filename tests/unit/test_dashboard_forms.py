"""Setting up runs: what is typed and checked; words, groups, themes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dashboard_runs import epoch, listed

from domcli.catalogue import all_options
from domcli.dashboard import themes, words
from domcli.dashboard.details import tail
from domcli.dashboard.grouping import group_of, titles
from domcli.dashboard.settings_form import Form, choices, describe
from domcli.dashboard.widgets.header import gpu_texts
from domcli.devices import Gpu, GpuProcess
from domcli.launch.order import Order
from domcli.settings import Section, Settings


@pytest.mark.parametrize(
    ("field", "text", "says"),
    [
        ("seeds", "1,x", "seeds '1,x': write whole numbers with commas between them, as in 0,1,2 or 0-4"),
        ("jobs", "0", "jobs per GPU 0: write auto, or a whole number, 1 or more"),
        ("jobs", "two", "jobs per GPU two: write auto, or a whole number, 1 or more"),
        ("retries", "-1", "retries -1: write a whole number, 0 or more"),
        ("retries", "1.5", "retries 1.5: write a whole number, 0 or more"),
    ],
)
def test_what_is_wrong_is_told_by_the_name_of_the_field(field: str, text: str, says: str) -> None:
    typed: dict[str, Any] = {field: text}
    assert Form("pgd-dom-re", **typed).problems() == [says]


def test_an_order_is_what_was_typed() -> None:
    form = Form("fgsm-dom-re", {"train.epochs": "3"}, " 0, 1 ", " cuda:0 ", " mine ", True, "2", " 3")
    assert form.order() == Order(
        presets=("fgsm-dom-re",),
        overrides=("train.epochs=3",),
        seeds="0, 1",
        devices="cuda:0",
        name="mine",
        quick=True,
        jobs="2",
        retries="3",
    )
    assert Form("pgd-dom-re", devices="", jobs="", retries=" ").order() == Order(presets=("pgd-dom-re",))


def test_the_form_doubts_strengths_on_another_scale() -> None:
    assert Form("pgd-dom-re").doubts() == []
    form = Form("pgd-dom-re").changed("attack.epsilon", ".03")
    assert form.problems() == []
    assert form.doubts()[0].startswith("attack.epsilon is 0.03, and it is in 1/255")
    assert form.changed("attack.steps", "none").doubts() == []


def test_only_changes_are_overrides() -> None:
    form = Form("pgd-dom-re").changed("train.epochs", "200")
    assert form.changes == {}
    form = form.changed("train.epochs", "20").changed("attack.norm", "l2")
    assert form.order().overrides == ("train.epochs=20", "attack.norm=l2")
    assert form.changed("train.epochs", "").order().overrides == ("attack.norm=l2",)


def test_problems_name_the_setting() -> None:
    form = Form("pgd-dom-re").changed("train.epochs", "0").changed("dom.threshold", "x")
    assert "at least 1" in str(form.problem("train.epochs"))
    assert "must be a number" in str(form.problem("dom.threshold"))
    assert form.problem("train.max_lr") is None
    assert len(form.problems()) == 2
    assert len(Form("pgd-dom-re", seeds="a").problems()) == 1
    assert Form("pgd-dom-re").problems() == []


def test_every_setting_is_described_and_choices_are_named() -> None:
    values = Form("pgd-dom-re").values()
    assert "train.seed" not in values
    sections = [getattr(Settings(), name) for name in Settings.model_fields if name != "options"]
    assert (
        len(values)
        == len([key for section in sections if isinstance(section, Section) for key in vars(section)])
        + len(all_options())
        - 1
    )
    assert all(describe(key) for key in values)
    assert choices("attack.norm") == ["linf", "l2"]
    assert choices("memorization.record") == ["true", "false"]
    assert choices("train.epochs") == []


def test_groups_are_named_by_what_is_unusual() -> None:
    runs = [
        listed(f"pgd-dom-re-seed{seed}", settings={"train": {"seed": seed}, "attack": {"epsilon": epsilon}}).run
        for seed, epsilon in [(0, 8.0), (1, 8.0), (0, 16.0), (0, 4.0)]
    ]
    groups = [group_of(run) for run in runs]
    assert groups[0].key == groups[1].key != groups[2].key
    found = titles(groups)
    texts = sorted(title.text for title in found.values())
    assert texts == ["pgd-dom-re", "pgd-dom-re, epsilon 16", "pgd-dom-re, epsilon 4"]
    assert {title.stem for title in found.values()} == {"pgd-dom-re"}


def test_what_is_not_written_is_called_what_it_is() -> None:
    chosen: list[dict[str, Any]] = [{"objective": "trades"}, {"objective": "trades", "epochs": 3}, {"epochs": 3}]
    runs = [listed("pgd-dom-re", settings={"train": {"seed": 0, **one}}).run for one in chosen]
    found = titles([group_of(run) for run in runs])
    assert [title.text.partition(", ")[2] for title in found.values()][2] == "objective cross-entropy"


def test_sentences_say_what_a_run_is_doing() -> None:
    assert words.sentence(listed("a", epochs=(epoch(1), epoch(2)))) == "finished after 2 epochs"
    assert words.sentence(listed("a", "queued", place=2)) == "place 2 in the queue"
    assert words.sentence(listed("a", "running", epochs=(epoch(1),))) == "epoch 2 of 10"
    assert words.sentence(listed("a", "lost", epochs=(epoch(1),))) == "lost after 1 of 10 epochs"
    assert words.what_happened(listed("a", "lost").run) == "not in the queue, and no trainer is known"


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (5, "0:05"), (3599.6, "1:00:00"), (7322, "2:02:02"), (90_000, "1 d 1 h")]
)
def test_durations(seconds: float | None, text: str) -> None:
    assert words.duration(seconds) == text


def test_gpus_are_told_with_use_and_memory() -> None:
    busy = Gpu(0, "GPU-a", "a product", 80 * 10**9, 9_800_000_000, 71, (GpuProcess(1, None),))
    idle = Gpu(1, "GPU-b", "a product", 80 * 10**9, 0, 0, ())
    assert gpu_texts([busy, idle], long=True) == ["GPU0 71 % 9.8/80 GB", "GPU1 idle"]
    assert gpu_texts([busy, idle], long=False) == ["GPU0 71 %", "GPU1 idle"]


@pytest.mark.parametrize(
    ("environment", "theme"),
    [
        ({"TERM": "xterm-256color"}, "domcli-dark"),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, "domcli-dark"),
        ({"TERM": "xterm-256color", "COLORFGBG": "0;15"}, "domcli-light"),
        ({"TERM": "xterm"}, "domcli-ansi"),
        ({"TERM": "linux"}, "domcli-ansi"),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, "domcli-ansi"),
    ],
)
def test_the_theme_follows_the_terminal(environment: dict[str, str], theme: str) -> None:
    assert themes.usual(environment) == theme


def test_the_end_of_a_log_is_whole_lines_without_control_codes(tmp_path: Path) -> None:
    log = tmp_path / "trainer.log"
    assert tail(log) == ()
    log.write_bytes(b"first\n10 %\r20 %\r30 %\nred \x1b[31m\xff\nlast")
    assert tail(log) == ("first", "30 %", r"red \x1b[31m\xff", "last")
    assert tail(log, lines=1) == ("last",)
    assert tail(log, most=8) == ("last",)
