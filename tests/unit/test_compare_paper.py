"""The paper's numbers and settings, and the verdict on groups beside them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest
from compared import FINISHED, epoch_ends, write_events, write_run
from samples import started

from domcli import presets
from domcli.compare import compare, select
from domcli.compare.paper import Entry, Match, judge, load_entries
from domcli.compare.records import flatten
from domcli.compare.statistics import Summary, summarise


def entry(preset: str, **changes: object) -> Entry:
    """The entry of a preset with these changes, given as section_key, of data set, model and schedule."""
    wanted = {key.replace("_", ".", 1): value for key, value in changes.items()}
    names = ("data.dataset", "model.name", "train.schedule")
    (found,) = [
        one
        for one in load_entries()
        if one.preset == preset and {key: one.changes[key] for key in names if key in one.changes} == wanted
    ]
    return found


def matches(folder: Path, error: bool = False) -> list[Match]:
    found = compare(select(folder, ["*"]), paper=True, error=error).paper
    assert found is not None
    return list(found)


def write_paper_runs(folder: Path, preset: str, last: list[float], *changes: str) -> None:
    """Write runs of full length whose last accuracy, natural for natural presets, else PGD, is this in percent."""
    epochs = presets.resolve(preset, changes).train.epochs
    for seed, percent in enumerate(last):
        natural = preset.startswith("natural")
        end = (percent / 100, None) if natural else (0.8, percent / 100)
        flat = (0.1, None) if natural else (0.5, 0.3)
        write_run(folder, preset, seed, [*[flat] * (epochs - 1), end], changes=changes)


def test_every_row_of_every_table_is_there() -> None:
    found = list(load_entries())
    assert Counter(one.preset.partition("-")[0] for one in found) == {"natural": 54, "pgd": 18, "fgsm": 18}
    assert {one.preset for one in found} == {info.name for info in presets.available()}
    assert sum(len(one.results) for one in found) == 54 * 2 + 18 * 6 + 18 * 3
    assert all(summary.n == 3 for one in found for summary in one.results.values())


@pytest.mark.parametrize(
    ("preset", "changes", "point", "metric", "accuracy", "std"),
    [
        ("natural-baseline", {}, "best", "natural", 100 - 4.70, 0.09),
        ("natural-dom-randaugment", {"model_name": "wideresnet34-10"}, "last", "natural", 100 - 3.20, 0.12),
        ("pgd-dom-re", {}, "last", "pgd", 52.52, 1.29),
        ("pgd-dom-re", {}, "best", "aa", 42.87, 0.32),
        ("pgd-augmix", {"data_dataset": "svhn"}, "last", "natural", 93.79, 0.35),
        ("fgsm-dom-re", {"data_dataset": "cifar100"}, "last", "pgd", 12.68, 0.62),
        ("fgsm-baseline", {}, "last", "pgd", 0.0, 0.0),
    ],
)
def test_numbers_are_accuracies_of_the_paper(
    preset: str, changes: dict[str, str], point: str, metric: str, accuracy: float, std: float
) -> None:
    results = {key: value for key, value in entry(preset, **changes).results.items() if key == (point, metric)}
    assert list(results.values()) == [Summary(3, pytest.approx(accuracy), std)]


def test_the_settings_are_those_of_the_presets_and_what_the_paper_changes() -> None:
    assert entry("pgd-dom-re").expected == flatten(presets.resolve("pgd-dom-re").complete())
    cifar100 = entry("fgsm-dom-augmix", data_dataset="cifar100").expected
    assert (cifar100["dom.threshold"], cifar100["train.epochs"], cifar100["dom.iterations"]) == (4.6, 50, 5)
    svhn = entry("natural-dom-randaugment", data_dataset="svhn").expected
    assert (svhn["train.max_lr"], svhn["dom.threshold"], svhn["dom.strength"]) == (0.01, 0.02, 0.5)
    cyclical = entry("natural-augmix", train_schedule="cyclical").expected
    assert (cyclical["train.schedule"], cyclical["train.max_lr"], cyclical["train.epochs"]) == ("cyclical", 0.2, 300)


def test_every_setting_that_is_changed_exists() -> None:
    known = flatten(presets.resolve("pgd-dom-re").to_dict()).keys()
    assert {key for one in load_entries() for key in one.changes} <= known


def test_a_reproduction_within_the_papers_spread(tmp_path: Path) -> None:
    write_paper_runs(tmp_path, "pgd-dom-re", [51.2, 52.9, 53.4])
    (match,) = matches(tmp_path)
    assert (match.deviations, match.entry.title) == ((), "pgd-dom-re (Table 3)")
    (row,) = [one for one in match.rows if (one.metric, one.point) == ("pgd", "last")]
    assert row.verdict == "within"
    assert row.gap == pytest.approx(52.5 - 52.52)
    assert row.paper == Summary(3, 52.52, 1.29)
    assert {(one.metric, one.point) for one in match.rows} == {
        (metric, point) for metric in ("natural", "pgd") for point in ("best", "last")
    }


@pytest.mark.parametrize(
    ("percent", "verdict"), [([95.9, 96.0, 96.1], "above"), ([94.4, 94.5, 94.6], "below"), ([95.4], "too few seeds")]
)
def test_the_verdict_on_others(tmp_path: Path, percent: list[float], verdict: str) -> None:
    write_paper_runs(tmp_path, "natural-dom-re", percent)  # published: 95.37 +- 0.19
    (match,) = matches(tmp_path)
    assert [one.verdict for one in match.rows if one.point == "last"] == [verdict]


def test_errors_stand_beside_errors(tmp_path: Path) -> None:
    write_paper_runs(tmp_path, "natural-dom-re", [95.9, 96.0, 96.1])
    (match,) = matches(tmp_path, error=True)
    (row,) = [one for one in match.rows if one.point == "last"]
    assert (row.own.mean, row.paper.mean) == (pytest.approx(4.0), pytest.approx(4.63))
    assert (row.gap, row.verdict) == (pytest.approx(-0.63), "below")


def test_another_data_set_of_the_paper_is_found(tmp_path: Path) -> None:
    changes = ("data.dataset=cifar100", "dom.threshold=0.45", "dom.iterations=2")
    write_paper_runs(tmp_path, "natural-dom-augmix", [78.0, 78.1], *changes)
    (match,) = matches(tmp_path)
    assert match.deviations == ()
    assert match.entry.title == "natural-dom-augmix, cifar100 (Table 2)"


def test_settings_that_do_nothing_need_not_be_the_papers(tmp_path: Path) -> None:
    idle = ("dom.threshold=0.3", "attack.epsilon=4", "evaluation.steps=7", "train.precision=float32", "data.root=/x")
    write_paper_runs(tmp_path, "natural-baseline", [95.0, 95.1], *idle)
    assert matches(tmp_path)[0].deviations == ()


def test_other_settings_are_named(tmp_path: Path) -> None:
    write_run(tmp_path, "pgd-dom-re", changes=["dom.threshold=1.25"])
    (match,) = matches(tmp_path)
    assert match.entry.title == "pgd-dom-re (Table 3)"
    assert [(one.key, one.own, one.paper) for one in match.deviations] == [
        ("train.epochs", "3", "200"),
        ("dom.threshold", "1.25", "1.5"),
    ]


def test_with_other_settings_the_numbers_stand_beside_each_other_without_a_verdict(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path, "pgd-dom-re", seed, [(0.8, 0.52), (0.8, 0.5 + seed / 100)])
    (match,) = matches(tmp_path)
    assert [one.key for one in match.deviations] == ["train.epochs"]
    assert {(one.verdict, one.interval) for one in match.rows} == {("not the paper's settings", None)}
    (row,) = [one for one in match.rows if (one.metric, one.point) == ("pgd", "last")]
    assert (row.own.n, row.paper, row.gap) == (2, Summary(3, 52.52, 1.29), pytest.approx(50.5 - 52.52))


def test_another_paradigm_or_method_has_no_numbers_in_the_paper(tmp_path: Path) -> None:
    write_run(tmp_path, "pgd-dom-re", changes=["data.augment=augmix"])
    (match,) = matches(tmp_path)
    assert len({"data.augment", "dom.operate"} & {one.key for one in match.deviations}) == 1
    assert match.rows == ()


@pytest.mark.parametrize(
    ("preset", "size", "entry_title", "rows"),
    [
        ("fgsm-baseline", (50_000, 10_000, 10), "fgsm-baseline (Table 4)", 2),
        ("fgsm-baseline", (50_000, 10_000, 100), "fgsm-baseline, cifar100 (Table 4)", 2),
        ("natural-baseline", (73_257, 26_032, 10), "natural-baseline, svhn (Table 6)", 2),
        ("natural-baseline", (49_999, 10_000, 10), "natural-baseline (Table 2)", 0),
    ],
)
def test_an_image_folder_of_the_size_of_a_data_set_may_be_a_copy_of_it(
    tmp_path: Path, preset: str, size: tuple[int, int, int], entry_title: str, rows: int
) -> None:
    train, test, classes = size
    changes = ["data.dataset=imagefolder", "train.epochs=50"]
    for seed in (0, 1):
        run = write_run(tmp_path, preset, seed, changes=changes)
        begun = msgspec.structs.replace(started(epochs=50), train_size=train, test_size=test, classes=classes)
        pgd = None if preset.startswith("natural") else 0.3
        write_events(run, [begun, *epoch_ends([(0.5, pgd)] * 50)], FINISHED)
    (match,) = matches(tmp_path)
    assert match.entry.title == entry_title
    assert "data.dataset" in {one.key for one in match.deviations}
    assert {one.verdict for one in match.rows} <= {"not the paper's settings"}
    assert len(match.rows) == rows


def test_a_quick_run_is_not_the_papers(tmp_path: Path) -> None:
    settings = presets.resolve("fgsm-dom-re", quick=True).to_dict()
    changes = [f"data.dataset={settings['data']['dataset']}", "data.train_images=1000", "model.width=16"]
    write_run(tmp_path, "fgsm-dom-re", changes=changes)
    (match,) = matches(tmp_path)
    assert match.entry.preset == "fgsm-dom-re"
    assert {"data.dataset", "data.train_images", "model.width"} <= {one.key for one in match.deviations}
    assert match.rows == ()


def test_what_no_setting_says_is_named(tmp_path: Path) -> None:
    changes = ("data.dataset=svhn", "train.epochs=20", "train.max_lr=0.01", "dom.threshold=1.0")
    write_run(tmp_path, "fgsm-dom-re", accuracies=[(0.5, 0.4)] * 20, changes=changes)
    (match,) = matches(tmp_path)
    (deviation,) = match.deviations
    assert "grown linearly over the first 5 epochs" in deviation.paper
    assert {one.verdict for one in match.rows} == {"not the paper's settings"}


@pytest.mark.parametrize(
    ("own", "published", "verdict"),
    [
        ([0.0, 0.0, 0.0], (0.0, 0.0), "within"),
        ([0.004, 0.004], (0.0, 0.0), "within"),
        ([0.03, 0.03], (0.0, 0.0), "above"),
        ([50.0, 51.0, 52.0], (49.0, 1.0), "within"),
        ([50.0, 51.0, 52.0], (48.0, 0.2), "above"),
        ([50.0, 51.0, 52.0], (54.0, 0.2), "below"),
        ([50.0], (50.0, 1.0), "too few seeds"),
        ([], (50.0, 1.0), "too few seeds"),
    ],
)
def test_within_is_what_welchs_interval_and_rounding_allow(
    own: list[float], published: tuple[float, float], verdict: str
) -> None:
    assert judge(summarise(own), Summary(3, *published))[1] == verdict
