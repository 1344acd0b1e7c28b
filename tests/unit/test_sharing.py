"""How many runs share a device: the figures that are kept, the choice that follows from them, and what is typed."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from domcli import devices
from domcli.devices import CPU, Device, Gpu
from domcli.errors import SettingsError
from domcli.launch.terms import Terms
from domcli.presets import resolve
from domcli.sharing import choice, figures, mps
from domcli.sharing.choice import Automatic
from domcli.sharing.figures import Figures, Together

GB = 1_000_000_000
FIRST, SECOND = Device("cuda:0", "GPU-a"), Device("cuda:1", "GPU-b")
PGD, NATURAL = resolve("pgd-dom-re"), resolve("natural-dom-re")


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """Two GPUs, a cache of its own, and no MPS daemon."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(figures, "torch_version", lambda: "9.9")
    monkeypatch.setattr(mps, "answers", lambda: False)
    have_gpus(monkeypatch, "H200", "H200")


def have_gpus(monkeypatch: pytest.MonkeyPatch, *products: str, memory: int = 100 * GB) -> None:
    found = [
        Gpu(place, uuid, product, memory, 0, None, ())
        for place, (uuid, product) in enumerate(zip(("GPU-a", "GPU-b"), products, strict=False))
    ]
    monkeypatch.setattr(devices, "gpus", lambda: found)


def together(*rates: float, memory: int | None = GB) -> tuple[Together, ...]:
    counts = (1, 2, 4, 8)[: len(rates)]
    return tuple(
        Together(trainers=count, images_per_second=rate, memory=memory)
        for count, rate in zip(counts, rates, strict=True)
    )


def measured(*rates: float, memory: int | None = GB, **changes: Any) -> Figures:
    usual: dict[str, Any] = {
        "device": "H200",
        "cores": None,
        "mps": False,
        "paradigm": "pgd",
        "model": "preactresnet18",
        "width": 64,
        "batch_size": 128,
        "precision": "bfloat16",
        "torch": "9.9",
        "domcli": "1",
        "date": "2026",
        "together": together(*rates, memory=memory),
    }
    return Figures(**{**usual, **changes})


def keep(*several: Figures) -> None:
    for one in several:
        figures.remember(one)


@pytest.mark.parametrize(
    ("rates", "memory", "room", "expected"),
    [
        ((100,), GB, 100 * GB, 1),
        ((100, 104), GB, 100 * GB, 1),
        ((100, 110), GB, 100 * GB, 2),
        ((100, 150, 156, 157), GB, 100 * GB, 2),
        ((100, 150, 190, 205), GB, 100 * GB, 8),
        ((100, 150, 190, 205), 20 * GB, 100 * GB, 4),
        ((100, 150, 190, 205), 80 * GB, 100 * GB, 1),
        ((100, 150, 190, 205), 200 * GB, 100 * GB, 1),
        ((100, 150, 190, 205), None, 100 * GB, 8),
        ((100, 150, 190, 205), 80 * GB, None, 8),
        ((100, 90, 80, 70), GB, 100 * GB, 1),
    ],
)
def test_the_fewest_within_5_percent_of_the_best_that_fits(rates, memory, room, expected):
    assert figures.best(together(*rates, memory=memory), room) == expected


def test_nothing_measured_is_one():
    assert figures.best((), GB) == 1
    assert Automatic([FIRST]).jobs(PGD) == 1


def test_figures_are_kept_by_their_conditions():
    keep(measured(100), measured(100, mps=True), measured(100, paradigm="none"), measured(100, device="A100"))
    keep(measured(100, torch="8"), measured(100, 150, domcli="2"))
    kept = figures.recall()
    assert len(kept) == 5
    assert [one.domcli for one in kept if one.conditions == measured(1).conditions] == ["2"]


@pytest.mark.parametrize("text", ["", "{", "{}", "3", '[3, {"device": "H200"}]'])
def test_a_damaged_file_counts_as_nothing_and_is_written_anew(text):
    figures.file().parent.mkdir(parents=True)
    figures.file().write_text(text)
    assert figures.recall() == []
    keep(measured(100, 200))
    assert Automatic([FIRST]).jobs(PGD) == 2


def test_what_is_damaged_does_not_take_the_rest_with_it():
    keep(measured(100, 200), measured(100, 200, paradigm="none"))
    entries = json.loads(figures.file().read_text())
    entries[0]["together"] = "many"
    figures.file().write_text(json.dumps(entries))
    assert (Automatic([FIRST]).jobs(PGD), Automatic([FIRST]).jobs(NATURAL)) == (1, 2)


def test_each_paradigm_has_its_own_choice():
    keep(measured(100, 101), measured(100, 150, 190, 205, paradigm="none"))
    automatic = Automatic([FIRST])
    assert (automatic.jobs(PGD), automatic.jobs(NATURAL), automatic.jobs(resolve("fgsm-dom-re"))) == (1, 8, 1)


@pytest.mark.parametrize(
    "override",
    [
        "model.width=32",
        "model.name=wideresnet34-10",
        "train.batch_size=64",
        "train.precision=float32",
        "data.dataset=digits",
    ],
)
def test_figures_of_other_work_say_nothing(override):
    keep(measured(100, 200))
    assert Automatic([FIRST]).jobs(resolve("pgd-dom-re", ["train.precision=bfloat16", "data.dataset=svhn"])) == 2
    assert Automatic([FIRST]).jobs(resolve("pgd-dom-re", [override])) == 1


def test_figures_of_another_pytorch_or_product_say_nothing():
    keep(measured(100, 200, torch="8"), measured(100, 200, device="A100"))
    assert Automatic([FIRST]).jobs(PGD) == 1


def test_of_several_devices_the_one_that_takes_fewest_decides(monkeypatch):
    keep(measured(100, 150, 190, 205), measured(100, 150, device="A100"))
    assert Automatic([FIRST, SECOND]).jobs(PGD) == 8
    have_gpus(monkeypatch, "H200", "A100")
    assert Automatic([FIRST, SECOND]).jobs(PGD) == 2
    have_gpus(monkeypatch, "H200", "T4")
    assert Automatic([FIRST, SECOND]).jobs(PGD) == 1
    assert Automatic([FIRST]).jobs(PGD) == 8
    assert Automatic([Device("cuda")]).jobs(PGD) == 1


def test_no_more_than_the_memory_of_this_device_has_room_for(monkeypatch):
    keep(measured(100, 150, 190, 205, memory=10 * GB))
    have_gpus(monkeypatch, "H200", memory=45 * GB)
    assert Automatic([FIRST]).jobs(PGD) == 4


def test_figures_with_mps_count_only_where_a_daemon_answers(monkeypatch):
    keep(measured(100, 104), measured(100, 150, 190, mps=True), measured(100, 150, paradigm="none"))
    assert Automatic([FIRST]).jobs(PGD) == 1
    monkeypatch.setattr(mps, "answers", lambda: True)
    assert Automatic([FIRST]).jobs(PGD) == 4
    assert Automatic([FIRST]).jobs(NATURAL) == 2


def test_on_a_cpu_the_cores_must_be_the_same(monkeypatch):
    monkeypatch.setattr(devices, "cpu_name", lambda: "Xeon")
    monkeypatch.setattr(devices, "cpu_count", lambda: 16)
    monkeypatch.setattr(choice, "machine_memory", lambda: 3 * GB)
    keep(measured(100, 150, 190, device="Xeon", cores=16))
    assert Automatic([CPU]).jobs(PGD) == 2
    monkeypatch.setattr(devices, "cpu_count", lambda: 2)
    assert Automatic([CPU]).jobs(PGD) == 1


def test_nobody_is_asked_where_nothing_like_it_was_measured(monkeypatch):
    def refuse() -> list[Gpu]:
        raise AssertionError

    monkeypatch.setattr(devices, "gpus", refuse)
    monkeypatch.setattr(mps, "answers", refuse)
    keep(measured(100, 200))
    assert Automatic([FIRST]).jobs(NATURAL) == 1


@pytest.mark.parametrize(("text", "number"), [("auto", None), ("1", 1), ("12", 12)])
def test_a_number_or_auto(text, number):
    assert choice.parse(text, "--jobs-per-gpu") == number


@pytest.mark.parametrize("text", ["0", "-1", "two", "", "1.5", "AUTO", "²"])
def test_anything_else_is_a_sentence(text):
    with pytest.raises(SettingsError, match=r"^--jobs-per-gpu .*: write auto, or a whole number, 1 or more$"):
        choice.parse(text, "--jobs-per-gpu")


def test_tickets_of_one_command_have_the_number_that_is_best_for_each(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    keep(measured(100, 110), measured(100, 150, 190, 205, paradigm="none"))
    tickets = Terms(devices="cuda:0", retries="3").tickets([PGD, NATURAL, PGD])
    assert [(one.jobs, one.place, one.max_retries, one.wanted) for one in tickets] == [
        (2, 0, 3, "cuda:0"),
        (8, 1, 3, "cuda:0"),
        (2, 2, 3, "cuda:0"),
    ]
    assert len({one.queued for one in tickets}) == 1
    assert [one.jobs for one in Terms(devices="cuda:0", jobs="3").tickets([PGD, NATURAL])] == [3, 3]


def test_a_file_keeps_every_figure():
    figures.remember(measured(100, 200))
    (entry,) = json.loads(figures.file().read_text())
    assert entry == json.loads(msgspec.json.encode(measured(100, 200)))
