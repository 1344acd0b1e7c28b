"""Every export, read back."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from compared import STOPPED, seeds, write_run

from domcli import __version__
from domcli.compare import FORMATS, Comparison, compare, export, select
from domcli.compare.latex import escaped
from domcli.compare.sheets import Sheet, sheets

NASTY = r"50 % of_a & b|c <d> $e$ #1 ^~\ {f} [g]"


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    """pgd-baseline (n = 2), pgd-dom-re (n = 3 and a stopped run), and the paper."""
    seeds(tmp_path, "pgd-baseline", [0.5, 0.6])
    seeds(tmp_path, "pgd-dom-re", [0.5, 0.6, 0.76])
    write_run(tmp_path, "pgd-dom-re", 7, ending=STOPPED)
    return compare(select(tmp_path, ["pgd-baseline", "pgd-dom-re"]), paper=True)


@pytest.fixture
def nasty(tmp_path: Path) -> Comparison:
    """Groups whose names have every character that a format could trip over."""
    for seed in (0, 1):
        write_run(tmp_path, "pgd-baseline", seed, environment={"preset": NASTY})
        write_run(tmp_path, "pgd-dom-re", seed, environment={"preset": f"*{NASTY}"})
    return compare(select(tmp_path, ["*"]), paper=True)


def sheet(comparison: Comparison, title: str) -> Sheet:
    (found,) = [one for one in sheets(comparison) if one.title.startswith(title)]
    return found


def rows(comparison: Comparison) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(export(comparison, "csv"))))


def parsed(comparison: Comparison) -> dict[str, Any]:
    content = json.loads(export(comparison, "json"))
    assert isinstance(content, dict)
    return content


def test_the_table_of_an_accuracy(comparison: Comparison) -> None:
    found = sheet(comparison, "PGD-20 test accuracy, %")
    assert found.columns == ("group", "n", "best", "last", "diff")
    assert found.rows == (
        ("pgd-baseline", "2", "55.00 ± 7.07", "45.00 ± 7.07", "10.00 ± 0.00"),
        ("pgd-dom-re", "3", "62.00 ± 13.11", "52.00 ± 13.11", "10.00 ± 0.00"),
    )


def test_a_mean_over_fewer_runs_says_over_how_many(tmp_path: Path) -> None:
    write_run(tmp_path, seed=0)
    write_run(tmp_path, seed=1, accuracies=[(0.5, 0.25), (0.75, 0.5), (0.75, None)])
    found = sheet(compare(select(tmp_path, ["*"])), "PGD-20")
    assert found.rows == (("pgd-dom-re", "2", "50.00 ± 0.00", "37.50 (n=1)", "12.50 (n=1)"),)


def test_the_table_of_memorized_patterns_and_time(comparison: Comparison) -> None:
    found = sheet(comparison, "Best epoch")
    assert found.rows[0] == (*("pgd-baseline", "2", "2.0 ± 0.0", "30 ± 0", "10 ± 0", "20 ± 0", "0:01:00 ± 0:00:00"),)


def test_the_table_of_settings_has_exactly_those_that_differ(comparison: Comparison) -> None:
    found = sheet(comparison, "Settings that differ")
    assert found.columns == ("setting", "pgd-baseline", "pgd-dom-re")
    assert found.rows == (("dom.operate", "none", "remove"),)


def test_with_many_groups_each_has_a_row_of_settings(tmp_path: Path) -> None:
    for threshold in (1, 2, 3, 4, 5):
        write_run(tmp_path, name=f"t{threshold}", changes=[f"dom.threshold={threshold}.5"])
    found = sheet(compare(select(tmp_path, ["*"])), "Settings that differ")
    assert found.columns == ("group", "dom.threshold")
    assert sorted(row[1] for row in found.rows) == ["1.5", "2.5", "3.5", "4.5", "5.5"]


def test_the_table_of_differences(comparison: Comparison) -> None:
    found = sheet(comparison, "pgd-dom-re minus pgd-baseline, in points (p not corrected for 2 tests)")
    (row,) = [row for row in found.rows if row[0] == "PGD-20 best"]
    assert row[1:3] == ("Welch, n=3, 2", "+7.00")
    (difference,) = [one for one in comparison.contrasts if (one.metric, one.point) == ("pgd", "best")]
    low, high = difference.difference.interval or (0, 0)
    assert row[3] == f"[{low:+.2f}, {high:+.2f}]"
    assert [row[1] for row in found.rows if row[0] == "PGD-20 diff"] == ["no spread"]


def test_without_a_test_nothing_is_said_of_p(tmp_path: Path) -> None:
    write_run(tmp_path, "pgd-baseline")
    write_run(tmp_path, "pgd-dom-re")
    found = sheet(compare(select(tmp_path, ["*"])), "pgd-dom-re minus pgd-baseline")
    assert found.title == "pgd-dom-re minus pgd-baseline, in points"
    assert {row[4] for row in found.rows} == {"-"}


def test_the_best_epoch_of_one_run_is_a_whole_number(tmp_path: Path) -> None:
    write_run(tmp_path)
    assert sheet(compare(select(tmp_path, ["*"])), "Best epoch").rows[0][2] == "2"


def test_the_source_names_runs_seeds_epochs_and_commits(comparison: Comparison, tmp_path: Path) -> None:
    first, *lines = comparison.source.splitlines()
    assert first == comparison.origin
    assert lines[0] == f"pgd-baseline: run {tmp_path / 'pgd-baseline-seed0'}, seed 0, 3 epochs, commit {'ab' * 20}"
    assert len(lines) == 5


def test_the_tables_against_the_paper(comparison: Comparison) -> None:
    beside = sheet(comparison, "Against the paper")
    assert {row[2] for row in beside.rows} == {"not the paper's settings"}
    (row,) = [row for row in beside.rows if (row[0], row[3]) == ("pgd-dom-re", "PGD-20 last")]
    assert row[4:] == ("3", "52.00 ± 13.11", "52.52 ± 1.29", "-0.52", "-")
    found = sheet(comparison, "Not the paper's settings")
    assert found.rows == (
        ("pgd-baseline", "pgd-baseline (Table 3)", "train.epochs", "3", "200"),
        ("pgd-dom-re", "pgd-dom-re (Table 3)", "train.epochs", "3", "200"),
    )


def test_a_reproduction_stands_beside_the_paper(tmp_path: Path) -> None:
    for seed, last in enumerate((0.51, 0.52)):
        write_run(tmp_path, seed=seed, accuracies=[(0.8, 0.55), *[(0.8, 0.3)] * 198, (0.8, last)])
    comparison = compare(select(tmp_path, ["*"]), paper=True)
    found = sheet(comparison, "Against the paper, test accuracy in %")
    (row,) = [row for row in found.rows if row[3] == "PGD-20 last"]
    assert row[:8] == (
        *("pgd-dom-re", "pgd-dom-re (Table 3)", "within", "PGD-20 last", "2", "51.50 ± 0.71", "52.52 ± 1.29", "-1.02"),
    )
    (line,) = [one for one in rows(comparison) if one["metric"] == "pgd"]
    assert (line["paper_last_mean"], line["paper_last_std"], line["paper_last_verdict"]) == ("52.52", "1.29", "within")
    (match,) = parsed(comparison)["paper"]
    assert match["reproduces"] is True
    assert {(one["metric"], one["point"]): one["verdict"] for one in match["results"]}["pgd", "last"] == "within"


def test_what_does_not_count_is_in_a_table(comparison: Comparison) -> None:
    assert sheet(comparison, "Runs that do not count").rows == (
        ("pgd-dom-re-seed7", "pgd-dom-re", "stopped after 3 of 3 epochs"),
    )


def test_the_runs_and_what_they_share(comparison: Comparison, tmp_path: Path) -> None:
    found = sheet(comparison, "Runs (")
    assert found.title == f"Runs (domcli 0.1.0, commit ababababab, folder {tmp_path})"
    assert found.rows[0] == ("pgd-baseline-seed0", "pgd-baseline", "0", "3", "2", "50.00", "40.00")
    assert len(found.rows) == 5


def test_what_is_not_known_of_any_run_is_not_shown(tmp_path: Path) -> None:
    write_run(tmp_path, environment={"git_commit": None})
    assert sheet(compare(select(tmp_path, ["*"])), "Runs").title == f"Runs (domcli 0.1.0, folder {tmp_path})"


def test_an_imported_run_says_what_from(tmp_path: Path) -> None:
    write_run(tmp_path, environment={"imported_from": "/logs/output.log"})
    (group,) = parsed(compare(select(tmp_path, ["*"])))["groups"]
    assert group["runs"][0]["imported_from"] == "/logs/output.log"


def test_what_runs_do_not_share_has_a_column(tmp_path: Path) -> None:
    write_run(tmp_path / "a", seed=0, environment={"git_commit": "12" * 20 + "-dirty"})
    write_run(tmp_path / "b", seed=1)
    found = sheet(compare(select(tmp_path, [str(tmp_path / "a"), str(tmp_path / "b")])), "Runs")
    assert found.columns[2:4] == ("commit", "folder")
    assert found.rows[0][2:4] == ("1212121212-dirty", str(tmp_path / "a"))


def test_markdown_tables_have_as_many_cells_in_every_line(nasty: Comparison) -> None:
    lines = export(nasty, "markdown").splitlines()
    assert "## PGD-20 test accuracy, %" in lines
    tables = [len(re.findall(r"(?<!\\)\|", line)) for line in lines if line.startswith("|")]
    starts = [number for number, line in enumerate(lines) if line.startswith("|") and not lines[number - 1]]
    for start in starts:
        counts = set()
        for line in lines[start:]:
            if not line.startswith("|"):
                break
            counts.add(len(re.findall(r"(?<!\\)\|", line)))
        assert len(counts) == 1
    assert tables
    assert any(r"of\_a & b\|c \<d\>" in line for line in lines)


def test_latex_escapes_what_it_would_read(nasty: Comparison) -> None:
    text = export(nasty, "latex")
    code = re.sub(r"^%.*$", "", text, flags=re.MULTILINE)
    assert r"50 \% of\_a \& b\textbar{}c $<$d$>$ \$e\$ \#1 \textasciicircum{}\textasciitilde{}" in code
    assert not re.search(r"(?<!\\)[%#_]", re.sub(r"\\label{[^}]*}", "", code))
    assert code.count("{") == code.count("}")
    assert len(re.findall(r"(?<!\\)\$", code)) % 2 == 0
    assert not re.search(r"\\\\\s*[\[*]", code), "read as arguments of the row end"
    begun = re.findall(r"\\(begin|end){(\w+)}", code)
    assert Counter(name for kind, name in begun if kind == "begin") == Counter(
        name for kind, name in begun if kind == "end"
    )


def test_latex_sets_what_rows_share_above_them(comparison: Comparison) -> None:
    (results, *_) = re.findall(r"\\begin{tabular}(.*?)\\end{tabular}", export(comparison, "latex"), flags=re.DOTALL)
    assert results.splitlines() == [
        "{lrrrr}",
        r"\toprule",
        r" & n & best & last & diff \\",
        r"\midrule",
        r"\multicolumn{5}{l}{\emph{natural}} \\",
        r"pgd-baseline & 2 & 80.00 $\pm$ 0.00 & 70.00 $\pm$ 0.00 & 10.00 $\pm$ 0.00 \\",
        r"pgd-dom-re & 3 & 80.00 $\pm$ 0.00 & 70.00 $\pm$ 0.00 & 10.00 $\pm$ 0.00 \\",
        r"\addlinespace",
        r"\multicolumn{5}{l}{\emph{PGD-20}} \\",
        r"pgd-baseline & 2 & 55.00 $\pm$ 7.07 & 45.00 $\pm$ 7.07 & 10.00 $\pm$ 0.00 \\",
        r"pgd-dom-re & 3 & 62.00 $\pm$ 13.11 & 52.00 $\pm$ 13.11 & 10.00 $\pm$ 0.00 \\",
        r"\bottomrule",
    ]


def test_latex_rows_have_as_many_cells_as_their_table(nasty: Comparison) -> None:
    tables = re.findall(r"\\begin{tabular}{([lr]+)}(.*?)\\end{tabular}", export(nasty, "latex"), flags=re.DOTALL)
    assert len(tables) >= 4
    for columns, body in tables:
        assert body.count(r"\toprule") == body.count(r"\midrule") == body.count(r"\bottomrule") == 1
        for row in re.findall(r"^(.*) \\\\$", body, flags=re.MULTILINE):
            spans = sum(int(width) - 1 for width in re.findall(r"\\multicolumn{(\d+)}", row))
            assert len(re.findall(r"(?<!\\)&", row)) + 1 + spans == len(columns)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-1.50", "$-$1.50"),
        ("[-1.50, -0.10]", "{[}$-$1.50, $-$0.10]"),
        ("52.52 ± 1.29", r"52.52 $\pm$ 1.29"),
        ("pgd-dom-re-2", "pgd-dom-re-2"),
        ("best - last", "best $-$ last"),
        ("a--b", "a-{}-b"),
        ("a---b", "a-{}-{}-b"),
        ("two\nlines", "two lines"),
    ],
)
def test_latex_of_signs(text: str, expected: str) -> None:
    assert escaped(text) == expected


@pytest.mark.parametrize(("name", "warned"), [("\u03bb=0.5", True), ("na\u00efve", False)])
def test_latex_says_when_names_need_another_engine(tmp_path: Path, name: str, warned: bool) -> None:
    write_run(tmp_path, environment={"preset": name})
    assert ("use XeLaTeX or LuaLaTeX" in export(compare(select(tmp_path, ["*"])), "latex")) is warned


def test_latex_says_what_it_needs_and_where_it_comes_from(comparison: Comparison) -> None:
    head = export(comparison, "latex").partition("\n\n")[0].splitlines()
    assert all(line.startswith("%") for line in head)
    assert any(r"\usepackage{booktabs}" in line for line in head)
    assert any("pgd-baseline-seed0" in line for line in head)
    assert any("pgd-dom-re-seed7" in line and "stopped" in line for line in head)


def test_csv_has_a_row_for_each_group_and_metric(comparison: Comparison, tmp_path: Path) -> None:
    found = rows(comparison)
    metrics = ["natural", "pgd", "best-epoch", "high-confidence", "original", "transformed", "training-time"]
    assert [(row["group"], row["metric"]) for row in found] == [
        (group, metric) for group in ("pgd-baseline", "pgd-dom-re") for metric in metrics
    ]
    pgd = found[1]
    assert (float(pgd["best_mean"]), float(pgd["last_mean"]), float(pgd["diff_mean"])) == pytest.approx((55, 45, 10))
    assert (pgd["best_n"], pgd["unit"], pgd["seeds"], pgd["epochs"]) == ("2", "% accuracy", "0;1", "3;3")
    assert pgd["runs"] == f"{tmp_path / 'pgd-baseline-seed0'};{tmp_path / 'pgd-baseline-seed1'}"
    assert pgd["git_commits"] == ";".join(["ab" * 20] * 2)
    assert pgd["made_by"] == f"domcli {__version__}"
    assert (pgd["paper_best_mean"], pgd["paper_best_verdict"]) == ("52.33", "not the paper's settings")
    assert (found[2]["paper_best_mean"], found[2]["paper_best_verdict"]) == ("", "")
    assert found[6]["last_mean"] == "60.0"
    assert found[2]["last_mean"] == ""


def test_csv_keeps_every_name(nasty: Comparison) -> None:
    assert {row["group"] for row in rows(nasty)} == {NASTY, f"*{NASTY}"}


def test_json_has_everything(comparison: Comparison, tmp_path: Path) -> None:
    content = parsed(comparison)
    baseline, dom = content["groups"]
    assert (baseline["name"], baseline["n"], baseline["seeds"], baseline["best_chosen_by"]) == (
        *("pgd-baseline", 2, [0, 1], "pgd"),
    )
    assert baseline["best"]["pgd"] == {"mean": 55.0, "std": pytest.approx(7.0710678), "n": 2}
    assert baseline["last"]["pgd"]["mean"] == pytest.approx(45)
    assert baseline["diff"]["pgd"]["mean"] == pytest.approx(10)
    assert baseline["settings"]["dom"]["operate"] == "none"
    assert baseline["transformed"] == {"mean": 20.0, "std": 0.0, "n": 2, "unit": "patterns"}
    run = baseline["runs"][0]
    assert (run["name"], run["seed"], run["epochs"], run["best_epoch"], run["seconds"]) == (
        *("pgd-baseline-seed0", 0, 3, 2, 60.0),
    )
    assert run["path"] == str(tmp_path / "pgd-baseline-seed0")
    assert run["accuracy"]["pgd"] == pytest.approx({"best": 50, "last": 40})
    assert [one["name"] for one in dom["left_out"]] == ["pgd-dom-re-seed7"]
    assert content["left_out"] == dom["left_out"]
    assert content["differences"] == [
        {"key": "dom.operate", "values": {"pgd-baseline": "none", "pgd-dom-re": "remove"}}
    ]
    (test,) = [one for one in content["tests"] if (one["metric"], one["point"]) == ("pgd", "last")]
    assert (test["group"], test["baseline"], test["method"], test["n"]) == (
        *("pgd-dom-re", "pgd-baseline", "Welch", [3, 2]),
    )
    assert test["difference"] == pytest.approx(7)
    assert [match["reproduces"] for match in content["paper"]] == [False, False]
    assert {one["verdict"] for match in content["paper"] for one in match["results"]} == {"not the paper's settings"}
    assert content["notes"] == list(comparison.notes)
    assert (content["unit"], content["measure"], content["domcli"]) == ("percent", "accuracy", __version__)


def test_json_without_the_paper_says_so(tmp_path: Path) -> None:
    write_run(tmp_path)
    assert parsed(compare(select(tmp_path, ["*"])))["paper"] is None


class Page(HTMLParser):
    """Reads a page, and fails for elements that are not closed in order."""

    VOID = frozenset({"meta", "line", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.cells: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "td":
            self.cells.append(data)


def test_html_is_one_file_with_tables_and_curves(comparison: Comparison) -> None:
    text = export(comparison, "html")
    page = Page(text)
    assert page.open == []
    assert page.tags["table"] == len(sheets(comparison))
    assert page.tags["figure"] == 7  # two accuracies, natural losses in test and training, three kinds of patterns
    assert page.tags["polyline"] == 2 * page.tags["figure"]
    assert page.tags["script"] == page.tags["link"] == page.tags["img"] == 0
    assert not any(name in ("src", "href") for name, _ in page.attributes)
    assert "prefers-color-scheme: dark" in text
    assert "55.00 ± 7.07" in page.cells


def test_html_shows_names_as_they_are(nasty: Comparison) -> None:
    page = Page(export(nasty, "html"))
    assert {NASTY, f"*{NASTY}"} <= set(page.cells)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_says_how_best_is_chosen_or_whose_it_is(comparison: Comparison, form: Any) -> None:
    text = export(comparison, form)
    assert __version__ in text
    assert comparison.made.isoformat(timespec="seconds") in text
    for run in ("pgd-baseline-seed0", "pgd-dom-re-seed2"):
        assert run in text
    if form != "csv":
        assert "the highest PGD test accuracy" in text


@pytest.mark.parametrize("form", FORMATS)
def test_a_comparison_of_nothing_that_counts_is_still_a_document(tmp_path: Path, form: Any) -> None:
    write_run(tmp_path, ending=STOPPED)
    broken = write_run(tmp_path, seed=1)
    broken.settings.write_text("[")
    comparison = compare(select(tmp_path, ["*"]), paper=True)
    assert "pgd-dom-re" in export(comparison, form)


def test_errors_are_called_errors(tmp_path: Path) -> None:
    seeds(tmp_path, "natural-dom-re", [0.5])
    comparison = compare(select(tmp_path, ["*"]), error=True)
    assert sheet(comparison, "Natural test error, %").rows[0][2] == "20.00"
    assert parsed(comparison)["measure"] == "error"
    assert rows(comparison)[0]["unit"] == "% error"


def test_the_epoch_asked_for_is_in_every_title(tmp_path: Path) -> None:
    write_run(tmp_path)
    comparison = compare(select(tmp_path, ["*"]), at_epoch=2)
    assert sheet(comparison, "PGD-20 test accuracy, %, after 2 epochs").rows[0][2:4] == ("50.00", "50.00")
    assert parsed(comparison)["at_epoch"] == 2
