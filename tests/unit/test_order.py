"""What is ordered: seeds, names, the command that does the same, and run directories, all of them or none."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from domcli import rundir
from domcli.errors import RunDirectoryError, SettingsError
from domcli.launch import order as orders
from domcli.launch import queue
from domcli.launch.order import Order, create, parse_seeds
from domcli.launch.terms import Terms
from domcli.origin import origin_of


def ordered(*presets: str, **told: object) -> Order:
    return Order(presets=presets or ("pgd-dom-re",), devices="cpu", **told)


@pytest.fixture(autouse=True)
def _nothing_measured(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize(("text", "seeds"), [("3", [3]), ("0,1, 2", [0, 1, 2]), ("0-2,7", [0, 1, 2, 7])])
def test_seeds_are_lists_and_ranges(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "whole numbers"),
        ("1,x", "whole numbers"),
        ("4-1", "whole numbers"),
        ("1,1", "more than once"),
        ("0-5000", "5,001 seeds; give 1,000 at the most"),
        ("0-999,1000", "1,001 seeds; give 1,000 at the most"),
    ],
)
def test_other_seeds_are_a_sentence(text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=f"^--seeds .*{says}"):
        ordered(seeds=text).plan(Path("runs"))


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"jobs": "0"}, "--jobs-per-gpu 0: write auto, or a whole number, 1 or more"),
        ({"retries": "-1"}, "--max-retries -1: write a whole number, 0 or more"),
    ],
)
def test_other_terms_are_a_sentence(told: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        Terms(devices="cpu", **told).tickets([])


def test_the_command_does_the_same() -> None:
    order = Order(
        presets=("fgsm-dom-re",),
        overrides=("train.epochs=3", "data.root=my images"),
        seeds="0, 1",
        quick=True,
        devices="cuda:0",
        name="mine",
        runs_dir="/elsewhere",
    )
    assert shlex.split(order.command()) == [
        *("domcli", "run", "fgsm-dom-re", "--quick", "--seeds", "0,1", "--set", "train.epochs=3"),
        *("--set", "data.root=my images", "--device", "cuda:0", "--name", "mine"),
        *("--runs-dir", "/elsewhere", "--detach"),
    ]
    assert Order(presets=("pgd-dom-re", "natural-*")).command() == "domcli run pgd-dom-re 'natural-*' --detach"
    with_terms = ordered(seeds="0-2", jobs="2", retries="3").command()
    assert with_terms == "domcli run pgd-dom-re --seeds 0-2 --device cpu --jobs-per-gpu 2 --max-retries 3 --detach"


def test_each_run_has_a_ticket_of_its_own(tmp_path: Path) -> None:
    tickets = [one.ticket for one in ordered(seeds="0-2", jobs="2", retries="3").plan(tmp_path)]
    assert [(one.jobs, one.max_retries, one.place) for one in tickets] == [(2, 3, 0), (2, 3, 1), (2, 3, 2)]
    assert len({one.id for one in tickets}) == 3
    assert len({one.queued for one in tickets}) == 1
    (usual,) = ordered().plan(tmp_path)
    assert (usual.ticket.jobs, usual.ticket.max_retries, usual.ticket.wanted) == (1, 0, "cpu")


def test_a_run_for_each_preset_and_seed(tmp_path: Path) -> None:
    found = ordered("pgd-dom-re", "fgsm-dom-re", overrides=("train.epochs=3",), seeds="4,5", quick=True).plan(tmp_path)
    assert [(one.settings.train.seed, one.settings.train.epochs) for one in found] == [(4, 3), (5, 3)] * 2
    assert [one.name for one in found] == [f"{p}-dom-re-quick-seed{n}" for p in ("pgd", "fgsm") for n in (4, 5)]
    file = tmp_path / "own.toml"
    file.write_text("")
    named = ordered(str(file), seeds="4,5", name="mine").plan(tmp_path)
    assert [(one.preset, one.name) for one in named] == [("own", "mine-seed4"), ("own", "mine-seed5")]
    with pytest.raises(RunDirectoryError, match="--name names the runs of one preset, and these are 2"):
        ordered("pgd-dom-re", "fgsm-dom-re", name="mine").plan(tmp_path)


def test_what_is_planned_is_what_is_created(tmp_path: Path) -> None:
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "pgd-dom-re.toml").write_text("")
    order = ordered("pgd-dom-re", *(str(tmp_path / folder / "pgd-dom-re.toml") for folder in ("one", "other")))
    runs = tmp_path / "runs"
    for expected in ([1, 2, 3], [4, 5, 6]):
        planned = order.plan(runs)
        names = [f"pgd-dom-re-seed0-{number}".removesuffix("-1") for number in expected]
        assert [one.name for one in planned] == names
        made = create(planned, runs)
        assert [run.name for run in made] == names
        assert [run.read_settings() for run in made] == [one.settings.to_dict() for one in planned]
        assert [run.read_ticket().id for run in made] == [one.ticket.id for one in planned]


def test_a_name_taken_between_the_look_and_the_creation_is_counted_up(tmp_path: Path) -> None:
    planned = ordered(seeds="0,1").plan(tmp_path)
    (tmp_path / "pgd-dom-re-seed0").mkdir()
    assert [run.name for run in create(planned, tmp_path)] == ["pgd-dom-re-seed0-2", "pgd-dom-re-seed1"]


def test_who_is_done_sooner_is_queued_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place in the queue is had when the checks are over: they may take long, and runs of others begin meanwhile."""
    slow, quick = ordered(seeds="0,1").plan(tmp_path), ordered(seeds="2,3").plan(tmp_path)
    original, meanwhile = orders.preflight, []

    def checked(*told: object) -> None:
        original(*told)
        if not meanwhile:
            meanwhile.append(True)
            create(quick, tmp_path)

    monkeypatch.setattr(orders, "preflight", checked)
    create(slow, tmp_path)
    found = queue.tickets(tmp_path)
    assert [run.name for run, _ in found] == [f"pgd-dom-re-seed{seed}" for seed in (2, 3, 0, 1)]
    assert len({ticket.queued for _, ticket in found}) == 2


def test_a_given_name_is_kept_or_refused(tmp_path: Path) -> None:
    planned = ordered(name="mine").plan(tmp_path)
    assert [run.name for run in create(planned, tmp_path)] == ["mine"]
    with pytest.raises(RunDirectoryError, match="'mine' exists"):
        create(planned, tmp_path)
    with pytest.raises(RunDirectoryError, match="'mine' exists"):
        ordered(name="mine").plan(tmp_path)
    with pytest.raises(RunDirectoryError, match="is not a run name"):
        ordered(name="").plan(tmp_path)


def test_all_are_created_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned, runs = ordered(seeds="0-2").plan(tmp_path / "runs"), tmp_path / "runs"
    original = rundir.create

    def until_the_last(folder: Path, name: str, *rest: object) -> rundir.RunDirectory:
        if name.endswith("seed2"):
            raise RunDirectoryError("no more")
        return original(folder, name, *rest)

    monkeypatch.setattr(orders.rundir, "create", until_the_last)
    with pytest.raises(RunDirectoryError, match="no more"):
        create(planned, runs)
    assert list(runs.iterdir()) == []


def test_the_origin_of_a_run_is_kept_as_data(tmp_path: Path) -> None:
    order = ordered("pgd-dom-r?", overrides=("train.epochs=3",), seeds="0,2", quick=True, name="mine")
    typed = ["domcli", "run", "pgd-dom-r?", "--set=train.epochs=3", "b\udcff"]
    first, _ = create(order.plan(tmp_path, typed), tmp_path)
    environment = first.read_environment()
    assert (environment["preset"], environment["quick"]) == ("pgd-dom-re", True)
    assert environment["command_line"] == r"domcli run 'pgd-dom-r?' --set=train.epochs=3 'b\xff'"
    assert environment["origin"] == {
        "command": [*typed[:-1], r"b\xff"],
        "presets": ["pgd-dom-r?"],
        "preset": "pgd-dom-re",
        "overrides": ["train.epochs=3"],
        "quick": True,
        "seeds": [0, 2],
        "name": "mine",
        "runs_dir": None,
    }
    assert origin_of(environment).overrides == ("train.epochs=3",)
    (without,) = create(ordered().plan(tmp_path), tmp_path)
    assert origin_of(without.read_environment()).command == tuple(ordered().words())
