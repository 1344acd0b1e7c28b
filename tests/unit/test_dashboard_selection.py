"""Marks and their colours, and what the charts are given."""

from __future__ import annotations

from dashboard_runs import epoch, listed
from hypothesis import given
from hypothesis import strategies as st

from domcli.dashboard.model import Listed, Snapshot
from domcli.dashboard.rows import Row
from domcli.dashboard.selection import chosen, shown, targets, toggled

SEEDS = [listed(f"pgd-dom-re-seed{seed}", seed=seed, epochs=(epoch(1, best=True),)) for seed in range(3)]
OTHER = listed("fgsm-dom-re-seed0", preset="fgsm-dom-re", epochs=(epoch(1, best=True),))
WHOLE = {one.name: one.run for one in (*SEEDS, OTHER)}


@given(st.lists(st.sampled_from("abcdef"), max_size=30))
def test_every_marked_run_has_a_colour_of_its_own_and_keeps_it(names: list[str]) -> None:
    marks: dict[str, int] = {}
    for name in names:
        before = dict(marks)
        marks = toggled(marks, [name])
        assert (name in marks) != (name in before)
        assert len(set(marks.values())) == len(marks)
        assert all(marks[other] == colour for other, colour in before.items() if other != name)


def test_a_heading_marks_all_of_its_runs_and_then_none() -> None:
    names = [one.name for one in SEEDS]
    marked = toggled({"pgd-dom-re-seed1": 0}, names)
    assert set(marked) == set(names)
    assert marked["pgd-dom-re-seed1"] == 0
    assert toggled(marked, names) == {}


def test_a_free_colour_is_used_again() -> None:
    assert toggled({"a": 0, "c": 2}, ["b"]) == {"a": 0, "c": 2, "b": 1}


def test_without_marks_the_row_under_the_cursor_is_shown() -> None:
    assert chosen(Row("pgd-dom-re-seed1", (SEEDS[1],)), {}) == {"pgd-dom-re-seed1": 0}
    assert chosen(Row("group", tuple(SEEDS), heading=True), {}) == {one.name: place for place, one in enumerate(SEEDS)}
    assert chosen(Row("pgd-dom-re-seed1", (SEEDS[1],)), {"other": 3}) == {"other": 3}
    assert chosen(None, {}) == {}


def test_commands_are_about_the_row_or_all_marked_if_it_is_one_of_them() -> None:
    row = Row("pgd-dom-re-seed1", (SEEDS[1],))
    assert targets(row, {}, SEEDS) == (SEEDS[1],)
    assert targets(row, {"pgd-dom-re-seed0": 0}, SEEDS) == (SEEDS[1],)
    assert targets(row, {"pgd-dom-re-seed1": 0, "pgd-dom-re-seed2": 1}, SEEDS) == (SEEDS[1], SEEDS[2])
    assert targets(None, {"pgd-dom-re-seed1": 0}, SEEDS) == ()


def test_labels_are_short_and_different() -> None:
    snapshot = Snapshot(runs=(*SEEDS, OTHER), whole=WHOLE, papers={"pgd-dom-re": 0.52})
    seeds = shown({"pgd-dom-re-seed1": 1, "pgd-dom-re-seed0": 0}, snapshot)
    assert [(one.label, one.colour, one.seed, one.paper) for one in seeds] == [("s1", 1, 1, 0.52), ("s0", 0, 0, 0.52)]
    mixed = shown({"pgd-dom-re-seed0": 0, "fgsm-dom-re-seed0": 1}, snapshot)
    assert [one.label for one in mixed] == ["pgd-dom-re s0", "fgsm-dom-re s0"]
    assert [one.paper for one in mixed] == [0.52, None]


def test_runs_whose_epochs_are_not_known_yet_wait() -> None:
    snapshot = Snapshot(runs=tuple(SEEDS), whole={"pgd-dom-re-seed0": SEEDS[0].run})
    assert [one.run for one in shown({"pgd-dom-re-seed0": 0, "pgd-dom-re-seed1": 1}, snapshot)] == [SEEDS[0].run]


def test_a_run_with_a_name_of_its_own_is_called_by_it() -> None:
    again, mine = (listed(name, epochs=(epoch(1, best=True),)) for name in ("pgd-dom-re-seed0-2", "mine"))
    runs = (*SEEDS, again, mine, OTHER)
    snapshot = Snapshot(runs=runs, whole={one.name: one.run for one in runs})

    def labels(*names: str) -> list[str]:
        return [one.label for one in shown({name: place for place, name in enumerate(names)}, snapshot)]

    assert labels("pgd-dom-re-seed0", "pgd-dom-re-seed0-2", "mine") == ["s0", "s0 #2", "mine"]
    assert labels("mine", "fgsm-dom-re-seed0", "pgd-dom-re-seed0-2") == ["mine", "fgsm-dom-re s0", "pgd-dom-re s0 #2"]
    assert labels("mine") == ["mine"]


def test_one_run_of_each_seed_stands_for_it_the_one_that_counts_or_the_latest() -> None:
    def made(name: str, created: float, *, seed: int = 0, counts: bool = False) -> Listed:
        return listed(name, seed=seed, created=created, counts=counts)

    runs = (
        made("a", 1.0, counts=True), made("b", 2.0),
        made("c", 1.0, seed=1), made("d", 2.0, seed=1), made("e", 1.0, seed=2),
    )  # fmt: skip
    snapshot = Snapshot(runs=runs, whole={one.name: one.run for one in runs})
    found = shown({one.name: place for place, one in enumerate(runs)}, snapshot)
    assert [one.run.directory.name for one in found if not one.repeats] == ["a", "d", "e"]
