"""Which rows the list has, in which order, and what stands in them at every width."""

from __future__ import annotations

import pytest
from dashboard_runs import epoch, listed
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from domcli import amounts
from domcli.dashboard import list_columns
from domcli.dashboard.list_columns import cells, plan, shortened
from domcli.dashboard.model import Listed
from domcli.dashboard.rows import SORT_KEYS, Row, View, arrange, fits
from domcli.dashboard.widgets import run_lines
from domcli.events import Failed
from domcli.overfitting import Finding

OVERFITS = Finding("robust-overfitting", 5, "warning", "PGD test accuracy declines")
COLLAPSES = Finding("catastrophic-overfitting", 3, "critical", "PGD test accuracy collapses")
JUMPS = Finding("memorization-jump", 4, "notice", "many patterns")
RUNS = [
    listed("pgd-seed2", "finished", seed=2, epochs=(epoch(1, 0.5, best=True), epoch(2, 0.4)), created=1.0),
    listed("pgd-seed10", "running", seed=10, epochs=(epoch(1, 0.3, best=True),), created=2.0),
    listed("fgsm", "failed", preset="fgsm-dom-re", seed=0, created=3.0, findings=(COLLAPSES,)),
    listed("late", "queued", seed=1, place=2, created=4.0),
    listed("soon", "queued", seed=0, place=1, created=5.0, findings=(OVERFITS,)),
]


def names(view: View) -> list[str]:
    return [row.key for row in arrange(RUNS, view)]


def row(one: Listed) -> Row:
    return Row(one.name, (one,))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 5),
        ("pgd running", 1),
        ("seed2", 1),
        ("FGSM", 1),
        ("-queued", 3),
        ("pgd-dom-re -running", 3),
        ("co", 1),
        ("nothing like it", 0),
    ],
)
def test_the_filter_takes_every_word(text: str, expected: int) -> None:
    assert sum(fits(one, text) for one in RUNS) == expected


def test_states_that_ask_for_attention_come_first_and_the_queue_is_in_order() -> None:
    assert names(View()) == ["pgd-seed10", "soon", "late", "fgsm", "pgd-seed2"]


def test_sorting_by_each_key() -> None:
    assert names(View(sort="newest")) == ["soon", "late", "fgsm", "pgd-seed10", "pgd-seed2"]
    assert names(View(sort="run"))[2:] == ["pgd-seed2", "pgd-seed10", "soon"]
    assert names(View(sort="last"))[:2] == ["pgd-seed2", "pgd-seed10"]
    assert names(View(sort="best"))[:2] == ["pgd-seed2", "pgd-seed10"]
    assert names(View(sort="watch"))[:2] == ["fgsm", "soon"]
    assert names(View(sort="progress"))[:2] == ["pgd-seed2", "pgd-seed10"]


@pytest.mark.parametrize("sort", ["last", "best", "watch"])
def test_what_is_not_known_comes_last_in_both_directions(sort: list_columns.SortKey) -> None:
    forward, backward = names(View(sort=sort)), names(View(sort=sort, reverse=True))
    assert forward[:2] == backward[:2][::-1]
    assert set(forward[2:]) == set(backward[2:])


@given(st.sampled_from(SORT_KEYS), st.booleans(), st.booleans())
def test_no_order_loses_or_repeats_a_run(sort: list_columns.SortKey, reverse: bool, grouped: bool) -> None:
    rows = arrange(RUNS, View(sort=sort, reverse=reverse, grouped=grouped))
    assert sorted(one.key for one in rows if not one.heading) == sorted(one.name for one in RUNS)


def test_groups_have_a_heading_with_all_their_runs_by_seed() -> None:
    rows = arrange(RUNS, View(grouped=True))
    heading = next(one for one in rows if one.heading and len(one.runs) == 4)
    place = rows.index(heading)
    assert [one.runs[0].seed for one in rows[place + 1 : place + 5]] == [0, 1, 2, 10]
    folded = arrange(RUNS, View(grouped=True, folded=frozenset({"pgd-dom-re"})))
    assert len(folded) == 3


@given(st.integers(36, 200), st.booleans())
def test_a_line_is_never_wider_than_the_list(width: int, grouped: bool) -> None:
    rows = arrange(RUNS, View(grouped=grouped))
    columns = plan(width, rows)
    assert sum(column.width for column in columns) + len(columns) - 1 <= width
    for one in rows:
        for column, cell in zip(columns, cells(one, columns), strict=True):
            heading = one.heading and column.name == "run"  # it goes on into the next column
            limit = column.width + 1 + list_columns.PROGRESS.width if heading else column.width
            assert sum(len(text) for text, _ in cell) <= limit + heading


def test_wider_lists_have_more_columns() -> None:
    rows = [row(one) for one in (*RUNS, listed("pgd-dom-randaugment-seed0"))]
    shown = [{column.name for column in plan(width, rows)} for width in (36, 50, 70, 100)]
    assert shown[0] < shown[1] < shown[2] < shown[3]
    assert {"run", "progress", "last", "watch"} <= shown[0]
    assert "device" in shown[3]


def text_of(one: Listed, name: str, width: int = 60) -> str:
    columns = plan(width, [row(one)])
    place = [column.name for column in columns].index(name)
    return "".join(text for text, _ in cells(row(one), columns)[place])


def test_progress_says_what_the_run_is_doing() -> None:
    running = listed("a", "running", epochs=tuple(epoch(number) for number in range(1, 6)))
    assert text_of(running, "progress") == "━━╸──  0:50"
    failed = listed("a", "failed", failed=Failed(cause="non-finite-loss", reason="the loss is not finite"))
    assert text_of(failed, "progress") == "diverged"
    assert text_of(listed("a", "queued", place=3), "progress") == "queued 3"
    assert text_of(listed("a", "stopped", epochs=(epoch(1),)), "progress") == "at 1/10"


def test_accuracies_are_percent_with_one_decimal() -> None:
    one = listed("a", epochs=(epoch(1, 0.5234, best=True), epoch(2, 0.4999)))
    assert text_of(one, "last") == "50.0"
    assert text_of(one, "best") == "52.3"
    assert text_of(listed("a", epochs=(epoch(1, 1.0, best=True),)), "last") == "100"
    assert text_of(listed("a"), "last") == "–"


def test_badges_are_short_and_the_worst_comes_first() -> None:
    one = listed("a", findings=(JUMPS, OVERFITS, COLLAPSES))
    assert text_of(one, "watch", 50) == "CO"
    assert text_of(one, "watch", 100) == "CO RO mem"


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("pgd-dom-re-seed0", 16, "pgd-dom-re-seed0"),
        ("pgd-dom-re-seed0", 14, "pgd-dom-re s0"),
        ("pgd-dom-re-seed0-2", 17, "pgd-dom-re s0 #2"),
        ("pgd-dom-randaugment-seed0", 16, "pgd-dom-r…ent s0"),
        ("abc", 1, "a"),
        ("对抗训练中的过度记忆", 20, "对抗训练中的过度记忆"),
        ("对抗训练中的过度记忆", 15, "对抗训练…度记忆"),
        ("对抗训练中的过度记忆", 14, "对抗训…度记忆"),
        ("对抗", 1, " "),
    ],
)
def test_long_names_keep_their_ends(text: str, width: int, expected: str) -> None:
    assert shortened(text, width) == expected


@given(st.text(), st.integers(0, 30))
def test_shortened_names_fit_in_cells(text: str, width: int) -> None:
    assert cell_len(shortened(text, width)) <= width


@pytest.mark.parametrize("width", [30, 46, 60, 90])
@pytest.mark.parametrize("name", ["对抗训练-seed0", "对抗训练中的过度记忆与灾难性过拟合的研究实验-seed0"])
def test_columns_are_in_line_whatever_characters_names_have(name: str, width: int) -> None:
    rows = [row(listed(one, "finished", epochs=(epoch(1, 0.5, best=True),))) for one in (name, "pgd-seed0")]
    columns = plan(width, rows)
    wide, narrow = ("".join(text for text, _ in run_lines.line(one, columns, {})) for one in rows)
    assert cell_len(wide) == cell_len(narrow)
    assert cell_len(wide[: wide.index("50.0")]) == cell_len(narrow[: narrow.index("50.0")])


@given(st.integers(0, 10**8))
def test_short_times_are_short(seconds: int) -> None:
    assert len(list_columns.short_time(seconds)) <= (5 if seconds < 86_400 * 10 else 8)


def test_a_repeated_seed_and_a_run_with_a_name_are_told_apart_in_a_group() -> None:
    runs = [listed(name, seed=7) for name in ("pgd-dom-re-seed7", "pgd-dom-re-seed7-2", "mine")]
    rows = arrange(runs, View(grouped=True))[1:]
    shown = {one.key: "".join(text for text, _ in cells(one, plan(60, rows))[0]) for one in rows}
    assert shown == {"pgd-dom-re-seed7": "  seed 7", "pgd-dom-re-seed7-2": "  seed 7 #2", "mine": "  mine · s7"}


def test_a_heading_has_the_mean_of_the_runs_that_count_and_says_of_how_many() -> None:
    ends = [(epoch(1, accuracy, best=True),) for accuracy in (0.5, 0.6, 0.1)]
    runs = [listed(f"r{n}", seed=n, epochs=end, counts=n < 2) for n, end in enumerate(ends)]

    def heading(runs: list[Listed]) -> str:
        (row, *_) = arrange(runs, View(grouped=True))
        return "".join(text for text, _ in run_lines.line(row, plan(60, [row]), {}))

    assert "n=2 of 3" in heading(runs)
    assert "55.0" in heading(runs)
    assert "n=2 " in heading(runs[:2])
    assert "of" not in heading(runs[:2])
    assert heading(runs[2:]).split()[-2:] == ["–", "–"]


@pytest.mark.parametrize("text", ["s10", "seed 10", "pgd-dom-re", "no memory", "cuda:0", "memory -queued"])
def test_the_filter_knows_what_the_list_shows(text: str) -> None:
    failed = Failed(cause="out-of-memory", reason="the device has too little memory")
    one = listed("one", "failed", seed=10, failed=failed)
    assert fits(one, text)
    assert not fits(one, "zzz " + text)


def test_the_sorted_title_is_whole_with_its_arrow_in_front() -> None:
    columns = plan(60, [row(RUNS[0])])
    titles = {sort: run_lines.titles(columns, sort, False) for sort in ("best", "last", "run", "progress")}
    assert all(f"▼{sort}" in line for sort, line in titles.items())
    assert len({len(line) for line in titles.values()}) == 1
    assert "▲last" in run_lines.titles(columns, "last", True)


def test_only_all_of_it_is_100_percent() -> None:
    shares = [amounts.share(part, 1000) for part in (0, 4, 59, 994, 997, 999.9, 1000, -1, 1001)]
    assert shares == ["0 %", "<1 %", "6 %", "99 %", ">99 %", ">99 %", "100 %", "?", "?"]


def test_titles_of_groups_are_searched_where_they_are_shown() -> None:
    one = listed("one", title="pgd-dom-re (quick), epsilon 4")
    assert fits(one, "epsilon (quick)", grouped=True)
    assert not fits(one, "epsilon")


@pytest.mark.parametrize("title", ["short", "a title that is so long that it goes on into the next column, and on"])
def test_the_numbers_of_a_heading_stand_under_those_of_its_runs(title: str) -> None:
    ends = (epoch(1, 0.25, best=True), epoch(2, 0.125))
    runs = [listed(f"pgd-dom-re-seed{n}", seed=n, epochs=ends, title=title, stem="pgd-dom-re") for n in (0, 1)]
    rows = arrange(runs, View(grouped=True))
    columns = plan(70, rows)
    heading, *seeds = ("".join(text for text, _ in run_lines.line(row, columns, {})) for row in rows)
    for number in ("25.0", "12.5"):
        assert {line.index(number) for line in seeds} == {heading.index(number)}


def test_a_run_is_not_called_by_its_seed_twice() -> None:
    named = listed("mine-base-seed3", seed=3, stem="mine-base", title="mine-base")
    (_, row) = arrange([named], View(grouped=True))
    assert cells(row, plan(70, [row]))[0][0][0].strip() == "seed 3"
    other = listed("mine-base-seed3", seed=3, stem="pgd-dom-re")
    (_, row) = arrange([other], View(grouped=True))
    assert cells(row, plan(70, [row]))[0][0][0].strip() == "mine-base-seed3"
