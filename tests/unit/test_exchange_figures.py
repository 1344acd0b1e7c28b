"""Figures from a run's own record: what is drawn, what is left out and why."""

from __future__ import annotations

import math
import sys

import msgspec
import numpy as np
import pytest
from samples import epoch_end, started

from domcli import __version__, rundir
from domcli.errors import StorageError
from domcli.exchange import figures, plot
from domcli.exchange.files import ExportError
from domcli.exchange.plot import Curve, Panel, PlotError, plot_groups
from domcli.runstate import RunState
from domcli.settings import Settings

LOSSES = np.array(
    [
        [3.0, 3.0, 3.0, 0.5],
        [1.0, 2.0, 3.0, 0.5],  # the warm-up ends here: the first and the last are original
        [1.2, 1.0, 3.0, 2.0],
        [0.8, 2.0, 3.0, 1.0],
    ],
    dtype=np.float16,
)
SIGNATURES = {"png": b"\x89PNG\r\n", "svg": b"<?xml", "pdf": b"%PDF"}


def memorization(epoch, **changes):
    return msgspec.structs.replace(epoch.memorization, **changes)


@pytest.fixture
def record(tmp_path):
    """Give a record of so many epochs of four, with what it is told otherwise."""

    def make(done=4, losses=LOSSES, name="one", **tables):
        settings = Settings.model_validate({"train": {"epochs": 4}, "memorization": {"record": True}, **tables})
        directory = rundir.create(tmp_path / "runs", name, settings.to_dict(), {})
        if losses is not None:
            np.save(directory.memorization, losses)
        epochs = []
        for number in range(1, done + 1):
            end = epoch_end(number, natural=0.5 + number / 100, pgd=0.25 + number / 100)
            kept = memorization(end, histogram=(number, 10 - number, 0, 0, 0, 10), overlap=0.8 + number / 100)
            epochs.append(msgspec.structs.replace(end, memorization=kept))
        return figures.Record(directory, settings, RunState(started=started(epochs=4), epochs=tuple(epochs)))

    return make


@pytest.fixture
def drawn():
    """Draw one figure and return its axes and the names in its legend."""

    def draw(name, record):
        with plot.figure() as (drawing, axes):
            figures.FIGURES[name](record, drawing, axes[0])
            legends = [text.get_text() for legend in drawing.legends for text in legend.get_texts()]
        return axes[0], legends

    return draw


def curves(ax):
    """The data of the curves, without straight lines across the axes."""
    return [list(line.get_ydata()) for line in ax.get_lines() if len(line.get_xdata()) > 2]


def marks(ax):
    return {text.xy[0]: text.get_text() for text in ax.texts}


def test_accuracy_is_in_percent_by_epoch(drawn, record):
    ax, legends = drawn("accuracy", record())
    assert legends == ["test natural", "test PGD-20", "train natural"]
    natural, pgd, train = curves(ax)
    assert natural == pytest.approx([51, 52, 53, 54])
    assert pgd == pytest.approx([26, 27, 28, 29])
    assert train == [50.0] * 4
    assert marks(ax) == {2: "warm-up ends\nlr / 10", 3: "lr / 100"}


def test_epochs_without_an_evaluation_leave_no_gap(drawn, record):
    found = record()
    epochs = [msgspec.structs.replace(e, test=None) if e.epoch == 2 else e for e in found.epochs]
    ax, _ = drawn("accuracy", figures.Record(found.directory, found.settings, RunState(epochs=tuple(epochs))))
    assert list(ax.get_lines()[0].get_xdata()) == [1, 3, 4]


def test_marks_are_those_of_the_schedule_and_the_method(drawn, record):
    ax, _ = drawn("accuracy", record(name="cyclical", train={"epochs": 4, "schedule": "cyclical"}))
    assert marks(ax) == {2: "warm-up ends"}
    ax, _ = drawn("accuracy", record(name="baseline", dom={"operate": "none"}))
    assert marks(ax) == {2: "lr / 10", 3: "lr / 100"}
    ax, _ = drawn("accuracy", record(name="early", dom={"warmup": 0.25}))
    assert marks(ax) == {1: "warm-up ends\n ", 2: "lr / 10", 3: "lr / 100"}
    ax, _ = drawn("accuracy", record(name="short", done=2, dom={"warmup": 0.75}))
    assert marks(ax) == {2: "lr / 10"}


def test_loss_ranges_are_shares_that_fill_the_axis(drawn, record):
    ax, legends = drawn("loss-ranges", record())
    assert legends == ["0 to 0.5", "0.5 to 1", "1 to 1.5", "1.5 to 2", "2 to 2.5", "from 2.5"]
    tops = [max(area.get_paths()[0].vertices[:, 1]) for area in ax.collections]
    assert tops == pytest.approx([20, 50, 50, 50, 50, 100])


def test_overlap_is_in_percent(drawn, record):
    ax, _ = drawn("overlap", record())
    assert curves(ax)[0] == pytest.approx([81, 82, 83, 84])


def test_patterns_are_split_at_the_end_of_the_warmup(drawn, record):
    ax, legends = drawn("pattern-loss", record())
    assert legends == ["original (2)", "transformed (1)", "T = 1.5"]
    original, transformed = curves(ax)
    assert original == pytest.approx([1.75, 0.75, 1.6, 0.9], abs=1e-3)
    assert transformed == pytest.approx([3, 2, 1, 2], abs=1e-3)


def test_without_a_warmup_no_pattern_is_original(drawn, record):
    _, legends = drawn("pattern-loss", record(dom={"warmup": 0.0}))
    assert legends == ["transformed (3)", "T = 1.5"]


def test_losses_beyond_half_precision_are_left_out_of_the_mean(drawn, record):
    losses = LOSSES.copy()
    losses[0, 0], losses[0, 1] = np.inf, np.nan
    ax, _ = drawn("pattern-loss", record(losses=losses))
    original, transformed = curves(ax)
    assert original[0] == 0.5
    assert math.isnan(transformed[0])


MISSING = {
    "overlap": ({"attack": {"name": "none"}, "evaluation": {"attack": "none"}}, "natural training has no adversarial"),
    "pattern-loss, not kept": ({"losses": None}, "run it with --set memorization.record=true"),
    "pattern-loss, warm-up": ({"done": 2}, "are known after epoch 2, the end of the warm-up"),
    "pattern-loss, shape": ({"losses": LOSSES[:3]}, r"memorization.npy is damaged: float16 \(3, 4\)"),
    "pattern-loss, type": ({"losses": LOSSES.astype(float)}, "memorization.npy is damaged: float64"),
    "pattern-loss, nothing": ({"dom": {"threshold": 0.01}}, "no pattern was high-confidence"),
}


@pytest.mark.parametrize(("case", "options", "reason"), [(case, *rest) for case, rest in MISSING.items()], ids=MISSING)
def test_what_was_not_recorded_is_said_with_the_way_to_record_it(drawn, record, case, options, reason):
    with pytest.raises(figures.NotRecordedError, match=reason):
        drawn(case.partition(",")[0], record(**options))


def test_damaged_records_are_named(drawn, record):
    found = record()
    found.directory.memorization.write_bytes(b"no array")
    with pytest.raises(figures.NotRecordedError, match=f"{found.directory.memorization} is damaged"):
        drawn("pattern-loss", found)


def test_imported_runs_have_an_accuracy_figure_alone(record, tmp_path):
    found = record(losses=None)
    epochs = tuple(msgspec.structs.replace(epoch, memorization=None) for epoch in found.epochs)
    outcomes = figures.draw([(found.directory, RunState(epochs=epochs))], tmp_path, "png")
    assert [outcome.figure for outcome in outcomes if outcome.path] == ["accuracy"]
    assert [file.name for file in tmp_path.glob("*.png")] == ["one-accuracy.png"]
    assert "an imported log says nothing of single training patterns" in outcomes[1].reason


def test_runs_without_an_epoch_have_no_figures(record, tmp_path):
    found = record(done=0)
    outcomes = figures.draw([(found.directory, found.state)], tmp_path, "png")
    assert {outcome.reason for outcome in outcomes} == {"no epoch is finished yet"}


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_every_figure_is_written_under_its_name(record, tmp_path, kind):
    found = record()
    outcomes = figures.draw([(found.directory, found.state)], tmp_path / "figures", kind)
    names = {f"one-{name}.{kind}" for name in ("accuracy", "loss-ranges", "overlap", "pattern-loss")}
    assert {outcome.path.name for outcome in outcomes} == names
    assert {file.name for file in (tmp_path / "figures").iterdir()} == names
    for outcome in outcomes:
        assert outcome.path.read_bytes().startswith(SIGNATURES[kind])


def test_figures_with_one_epoch_show_a_point(drawn, record):
    ax, _ = drawn("accuracy", record(done=1))
    assert {line.get_marker() for line in ax.get_lines()} == {"o"}


def test_two_runs_of_one_name_are_refused(record, tmp_path):
    found = record()
    with pytest.raises(ExportError, match="two of the runs are named 'one'"):
        figures.draw([(found.directory, found.state)] * 2, tmp_path / "figures", "png")


@pytest.mark.parametrize("module", ["matplotlib", "matplotlib.figure"])
def test_a_missing_matplotlib_is_one_sentence(record, tmp_path, monkeypatch, module):
    found = record()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(PlotError, match=r"figures need matplotlib; install it with: pip install 'domcli\[plot\]'"):
        figures.draw([(found.directory, found.state)], tmp_path, "png")


PANELS = [
    Panel("accuracy (%)", {"natural": {"a": Curve([1, 2], [50, 60], [1, 2]), "b_$1$": Curve([1, 2], [40, 45])}}),
    Panel("loss", {"natural": {"b_$1$": Curve([1], [2.5])}, "PGD-20": {"a": Curve([1, 2], [3, math.nan])}}),
]


@pytest.mark.parametrize("kind", plot.FORMATS)
def test_groups_are_drawn_in_every_format(tmp_path, kind):
    path = tmp_path / "new" / f"figure.{kind}"
    plot_groups(path, PANELS, {1.5: "warm-up ends"})
    assert path.read_bytes().startswith(SIGNATURES[kind])


def test_a_group_keeps_its_colour_and_a_measure_its_line(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(plot, "save", lambda drawing, path, source: kept.append(drawing))
    plot_groups(tmp_path / "figure.svg", PANELS, {1.5: "warm-up ends"})
    accuracy, loss = kept[0].axes
    assert [text.get_text() for text in kept[0].legends[0].get_texts()] == ["a", "b_$1$"]
    assert [line.get_color() for line in accuracy.get_lines()[:2]] == list(plot.COLOURS[:2])
    assert [line.get_color() for line in loss.get_lines()[:2]] == [plot.COLOURS[1], plot.COLOURS[0]]
    assert [line.get_linestyle() for line in loss.get_lines()[:2]] == ["-", "--"]
    assert marks(accuracy) == marks(loss) == {1.5: "warm-up ends"}
    (band,) = accuracy.collections
    assert (band.get_paths()[0].vertices[:, 1].min(), band.get_paths()[0].vertices[:, 1].max()) == (49, 62)


def test_the_same_curves_give_the_same_file(tmp_path):
    for name in ("a.svg", "b.svg"):
        plot_groups(tmp_path / name, PANELS)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_bands_are_explained_where_there_are_any(tmp_path):
    plot_groups(tmp_path / "bands.svg", PANELS)
    assert ">band: ± 1 standard deviation<" in (tmp_path / "bands.svg").read_text()
    plot_groups(tmp_path / "lines.svg", [Panel("loss", {"natural": {"a": Curve([1, 2], [3.0, 2.0])}})])
    assert "standard deviation" not in (tmp_path / "lines.svg").read_text()


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_files_carry_where_their_numbers_come_from(tmp_path, kind):
    source = "group a & b: run /runs/one, seed 3, 2 epochs"
    plot_groups(tmp_path / f"figure.{kind}", PANELS, source=source)
    content = (tmp_path / f"figure.{kind}").read_bytes()
    found = content.decode("latin-1").replace("&amp;", "&")
    assert source in found
    assert f"domcli {__version__}" in found


def test_figures_of_a_run_carry_its_name_and_commit(record, tmp_path):
    made = record()
    made.directory.environment.write_text('{"git_commit": "abab-dirty"}')
    outcomes = figures.draw([(made.directory, made.state)], tmp_path / "figures", "svg")
    text = outcomes[0].path.read_text()
    assert f"run {made.directory.path}, seed 0, 4 epochs, commit abab-dirty" in text


def test_names_stand_as_they_are_and_can_be_searched(tmp_path):
    plot_groups(tmp_path / "figure.svg", PANELS)
    assert "b_$1$" in (tmp_path / "figure.svg").read_text()


@pytest.mark.parametrize("name", ["figure.jpg", "figure", "figure.png.txt"])
def test_other_formats_are_refused_by_name(tmp_path, name):
    with pytest.raises(PlotError, match=rf"{name} is not the name of a figure; it must end in one of .png, .svg, .pdf"):
        plot_groups(tmp_path / name, PANELS)


def test_nothing_to_draw_is_one_sentence(tmp_path):
    with pytest.raises(PlotError, match="there is no curve to draw"):
        plot_groups(tmp_path / "figure.png", [Panel("loss", {"natural": {}})])


def test_a_figure_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "figure.png").mkdir()
    with pytest.raises(StorageError, match=r"cannot write .*figure\.png: Is a folder, not a file"):
        plot_groups(tmp_path / "figure.png", PANELS)
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]
