"""The charts of the dashboard, driven by keys and mouse in an app of their own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree

import pytest
from PIL import Image
from textual import constants, events
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.strip import Strip
from textual.theme import Theme

from domcli import events as run_events
from domcli import files
from domcli.dashboard.palette import DARK, LIGHT
from domcli.dashboard.screens.full_chart import FullChart
from domcli.dashboard.shown import Shown
from domcli.dashboard.widgets.chart import ChartView
from domcli.dashboard.widgets.charts import ChartGrid, ChartNames, grid_size
from domcli.devices import Gpu
from domcli.events import EpochEnd, Memorization, Progress, Started, TrainMetrics
from domcli.rundir import RunDirectory
from domcli.runs import Run
from domcli.runstate import RunState

LARGE = (160, 45)
THEMES = (
    Theme("a-dark-one", primary="#56b4e9", background="#0d1117", dark=True),
    Theme("a-light-one", primary="#0072b2", background="#ffffff", dark=False),
)


@pytest.fixture(autouse=True)
def _terminal_of_many_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "COLOR_SYSTEM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)


class Host(App[None]):
    """Nothing but charts, and what they have said."""

    def __init__(self, runs: Sequence[Shown] = ()) -> None:
        super().__init__()
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = THEMES[0].name
        self.runs = runs
        self.read: list[str] = []
        self.notes: list[tuple[str, str]] = []

    def compose(self) -> ComposeResult:
        yield ChartGrid(id="charts")

    def on_mount(self) -> None:
        self.charts.show(self.runs)
        self.charts.focus()

    @property
    def charts(self) -> ChartGrid:
        return self.query_one(ChartGrid)

    def chart(self, key: str) -> ChartView:
        return self.charts.query_one(f"#chart-{key}", ChartView)

    def on_chart_grid_inspected(self, message: ChartGrid.Inspected) -> None:
        self.read.append(message.text)

    def notify(self, message: str, *, severity: Any = "information", **_: Any) -> None:
        self.notes.append((message, severity))


def epoch(number: int, natural: float = 0.8, tested: bool = True) -> EpochEnd:
    pgd = natural - 0.3 + number / 1000
    counts = Memorization(
        threshold=1.5, high_confidence=500 + number, original=None, transformed=None, entered=0, left=0,
        removed=number, augmented=0, histogram=(500 + number, 0, 0, 0, 0, 500 - number), overlap=0.5,
    )  # fmt: skip
    return EpochEnd(
        epoch=number,
        lr=0.1 if number <= 20 else 0.01,
        train=TrainMetrics(natural_loss=2 - number / 100, natural_accuracy=0.5, robust_loss=2.2),
        test=run_events.TestMetrics(natural_loss=1.0, natural_accuracy=natural, pgd_accuracy=pgd) if tested else None,
        train_attack=None,
        memorization=counts,
        best=number == 30,
        train_seconds=90.0,
        test_seconds=30.0,
        images_per_second=1000.0,
        memory=2 << 30,
    )


def shown(name: str = "one", colour: int = 0, epochs: int = 40, natural: float = 0.8) -> Shown:
    begun = Started(
        settings_digest="0", device="cpu", device_name="CPU", precision="float32", train_size=1000, test_size=100,
        classes=10, image_shape=(3, 32, 32), parameters=1, epochs=40, steps_per_epoch=8,
    )  # fmt: skip
    state = RunState(started=begun, epochs=tuple(epoch(n, natural) for n in range(1, epochs + 1)))
    settings = {"evaluation": {"steps": 20}, "dom": {"operate": "remove", "warmup": 0.5}, "train": {"epochs": 40}}
    return Shown(Run(RunDirectory(Path("runs") / name), state, "finished", settings=settings), colour, name, "dom")


def training(one: Shown, step: int) -> Shown:
    number = one.run.state.epochs_done + 1
    now = Progress(phase="train", epoch=number, step=step, steps=8, images_per_second=900.0, natural_loss=1.0)
    return replace(one, run=replace(one.run, status="running", state=replace(one.run.state, progress=now)))


def drive(
    work: Callable[[Host, Pilot[None]], Coroutine[Any, Any, None]],
    runs: Sequence[Shown] = (),
    size: tuple[int, int] = LARGE,
) -> None:
    async def session() -> None:
        host = Host(runs)
        async with host.run_test(size=size) as pilot:
            await settle(pilot)
            await work(host, pilot)

    asyncio.run(session())


async def settle(pilot: Pilot[None]) -> None:
    """Wait until everything has been drawn."""
    for _ in range(2):
        await pilot.pause()


async def press(pilot: Pilot[None], *keys: str) -> None:
    await pilot.press(*keys)
    await settle(pilot)


async def export(pilot: Pilot[None], *keys: str) -> None:
    """Press keys of which some export a chart, and wait until that is done."""
    await press(pilot, *keys)
    await pilot.app.workers.wait_for_complete()
    await settle(pilot)


async def wheel(pilot: Pilot[None], view: ChartView, up: bool, column: int, shift: bool = False) -> None:
    kind = events.MouseScrollUp if up else events.MouseScrollDown
    view.post_message(kind(view, column, 5, 0, 0, 0, shift, False, False))
    await settle(pilot)


def column_of(view: ChartView, x: float) -> int:
    assert view.plot is not None
    column = view.plot.column_of(x)
    assert column is not None
    return column


def colours(view: ChartView) -> set[str]:
    segments = [segment for y in range(view.size.height) for segment in view.render_line(y)]
    return {segment.style.color.name for segment in segments if segment.style and segment.style.color}


@pytest.mark.parametrize(
    ("size", "charts", "expected"),
    [((80, 23), 9, (1, 2)), ((80, 20), 9, (1, 1)), ((100, 42), 9, (2, 3)), ((180, 66), 9, (3, 3)),
     ((300, 90), 11, (3, 4)), ((160, 44), 2, (2, 1)), ((20, 5), 9, (1, 1)), ((160, 44), 1, (1, 1))],
)  # fmt: skip
def test_the_grid_has_as_many_charts_as_are_legible(
    size: tuple[int, int], charts: int, expected: tuple[int, int]
) -> None:
    assert grid_size(*size, charts) == expected


def test_every_chart_is_reached_by_keys_and_by_the_row_of_names() -> None:
    async def work(host: Host, pilot: Pilot[None]) -> None:
        assert host.charts.seen == ("accuracy",)
        found = []
        for _ in host.charts.viewer.kinds:
            found.append(host.charts.seen[0])
            assert host.chart(found[-1]).region.height > 15
            await press(pilot, "down")
        assert found == [kind.key for kind in host.charts.viewer.kinds]
        assert host.charts.seen == ("accuracy",)
        await press(pilot, "up")
        assert host.charts.seen == ("memory",)
        await press(pilot, "down")
        await pilot.click(ChartNames, offset=(13, 0))
        await settle(pilot)
        assert host.charts.seen == ("patterns",)

    drive(work, [shown()], size=(80, 22))


def test_charts_show_title_legend_axis_and_marks() -> None:
    async def work(host: Host, _: Pilot[None]) -> None:
        text = host.chart("accuracy").text
        for part in ("Test accuracy", "━━ natural", "╍╍ PGD-20", "80%", "DOM on · lr ÷10", "best", "40"):
            assert part in text
        assert "of 1,000" in host.chart("patterns").text
        assert len(text.splitlines()) == host.chart("accuracy").size.height
        assert {len(row) for row in text.splitlines()} == {host.chart("accuracy").size.width}

    drive(work, [shown()])


def test_without_runs_the_charts_say_what_to_do() -> None:
    async def work(host: Host, _: Pilot[None]) -> None:
        assert "mark runs with space" in host.chart("accuracy").text
        assert host.read == []

    drive(work)


def test_the_mouse_reads_all_charts_at_an_epoch_and_a_click_lets_the_cursor_stay() -> None:
    async def work(host: Host, pilot: Pilot[None]) -> None:
        view = host.chart("loss")
        await pilot.hover(view, offset=(column_of(view, 20), 6))
        await settle(pilot)
        assert host.read[-1].startswith("epoch 20: natural 80.0  PGD-20 52.0  high-confidence 520")
        for key, value in (
            ("accuracy", "natural 80.0  PGD-20 52.0"),
            ("loss", "natural 1.8  adversarial 2.2"),
            ("patterns", " 520 "),
        ):
            rows = host.chart(key).text.splitlines()
            assert value in rows[-1]
            assert "20" in rows[-2]
            assert rows[6][column_of(host.chart(key), 20)] != " "
        await pilot.click(view, offset=(column_of(view, 10), 6))
        await pilot.hover(view, offset=(column_of(view, 30), 6))
        await settle(pilot)
        assert host.read[-1].startswith("epoch 30")
        ranges = host.chart("ranges")
        assert {row[column_of(ranges, 30)] for row in ranges.text.splitlines()[2:6]} == {"│"}
        await pilot.hover(ChartNames)
        await settle(pilot)
        assert host.read[-1].startswith("epoch 10")
        assert host.charts.chosen == "loss"
        await press(pilot, "0")
        assert host.read[-1] == ""
        assert "PGD-20 51.0" not in host.chart("accuracy").text

    drive(work, [shown()])


def test_keys_move_the_cursor() -> None:
    async def work(host: Host, pilot: Pilot[None]) -> None:
        await press(pilot, "right")
        assert host.read[-1].startswith("epoch 40")
        await press(pilot, "left", "left", "comma")
        assert host.read[-1].startswith("epoch 28")
        await press(pilot, "home")
        assert host.read[-1].startswith("epoch 1:")

    drive(work, [shown()])


def test_nothing_is_drawn_that_has_not_changed() -> None:
    one, two = shown(), training(shown("two", 1, epochs=20, natural=0.7), step=2)

    async def work(host: Host, pilot: Pilot[None]) -> None:
        def draws() -> dict[str, int]:
            return {view.key: view.draws for view in host.query(ChartView)}

        before = draws()
        host.charts.show([one, two])
        await settle(pilot)
        assert draws() == before
        host.charts.show([one, training(two, step=5)])
        await settle(pilot)
        changed = {key for key, number in draws().items() if number != before[key]}
        assert changed == {"loss", "throughput"}
        before = draws()
        await press(pilot, "left")
        await press(pilot, "left")
        assert draws() == before  # the cursor is put over what was drawn

    drive(work, [one, two])


def test_what_is_redrawn_in_parts_looks_like_what_is_drawn_whole() -> None:
    async def work(host: Host, pilot: Pilot[None]) -> None:
        await press(pilot, "left", "left", "x", "w", "left", "comma", "plus", "right")
        host.charts.show([shown(epochs=39), shown("two", 1, natural=0.6)])
        await settle(pilot)
        view = host.chart("accuracy")
        parts = [view.render_line(y) for y in range(view.size.height)]
        terminal = view.render_lines(view.size.region)
        view.on_resize()
        assert parts == [view.render_line(y) for y in range(view.size.height)]
        assert [strip.text for strip in terminal] == [Strip(list(part)).text for part in parts]

    drive(work, [shown()])


def test_the_wheel_zooms_and_dragging_pans_all_charts_together() -> None:
    async def work(host: Host, pilot: Pilot[None]) -> None:
        view = host.chart("accuracy")
        await wheel(pilot, view, up=True, column=column_of(view, 40))
        window = host.charts.viewer.view.window
        assert window == pytest.approx((8, 40), abs=0.5)
        for key in ("accuracy", "loss", "lr", "ranges"):
            plot = host.chart(key).plot
            assert plot is not None
            assert plot.x == window
        right = column_of(view, 30)
        await pilot.mouse_down(view, offset=(right, 6))
        await pilot.hover(view, offset=(right + 10, 6))
        await pilot.mouse_up(view, offset=(right + 10, 6))
        await settle(pilot)
        dragged = host.charts.viewer.view.window
        assert dragged is not None
        assert window is not None
        assert dragged[0] < window[0]
        assert dragged[1] - dragged[0] == pytest.approx(window[1] - window[0])
        await pilot.hover(ChartNames)
        await settle(pilot)
        assert host.charts.viewer.view.cursor is None  # a drag is no click
        await wheel(pilot, view, up=False, column=right, shift=True)
        panned = host.charts.viewer.view.window
        assert panned is not None
        assert panned[0] > dragged[0]
        for _ in range(3):
            await wheel(pilot, view, up=False, column=right)
        assert host.charts.viewer.view.window is None

    drive(work, [shown()])


def test_keys_zoom_pan_and_go_back() -> None:
    async def work(host: Host, pilot: Pilot[None]) -> None:
        await press(pilot, "plus", "equals_sign")
        first = host.charts.viewer.view.window
        assert first is not None
        await press(pilot, "shift+left")
        second = host.charts.viewer.view.window
        assert second is not None
        assert second[0] < first[0]
        await press(pilot, "ctrl+right")
        assert host.charts.viewer.view.window == pytest.approx(first)
        await press(pilot, "minus", "minus")
        assert host.charts.viewer.view.window is None

    drive(work, [shown()])


def test_keys_change_how_the_runs_are_looked_at() -> None:
    async def work(host: Host, pilot: Pilot[None]) -> None:
        await press(pilot, "x")
        assert "step" in host.chart("accuracy").text
        await press(pilot, "x")
        assert "h:mm" in host.chart("accuracy").text
        await press(pilot, "x", "w", "y", "b")
        names = host.query_one(ChartNames).render_line(0).text
        assert "x: epochs · smooth 0.6 · log y (not %) · seeds: mean ± s.d." in names
        assert "dom (n=2)" in host.chart("lr").text or "natural" in host.chart("accuracy").text
        assert host.charts.viewer.chart("loss").y.log
        assert host.charts.viewer.chart("accuracy").series[-1].band is not None
        assert host.charts.viewer.chart("accuracy").series[-1].raw is not None

    drive(work, [shown(), shown("two", 1, natural=0.7)])


def test_one_chart_takes_the_whole_screen_and_stays_live() -> None:
    one = shown(epochs=20)

    async def work(host: Host, pilot: Pilot[None]) -> None:
        await press(pilot, "down", "down", "f")
        screen = host.screen
        assert isinstance(screen, FullChart)
        view = screen.query_one(ChartView)
        assert view.size.width == LARGE[0]
        assert "Training loss" in view.text
        legend = "\n".join(strip.text for strip in screen.query("Legend").first().render_lines(screen.size.region))
        assert "natural" in legend
        assert "1.8" in legend
        before = view.text
        host.query_one(ChartGrid).show([shown(epochs=30)])
        await settle(pilot)
        assert view.text != before
        await press(pilot, "down", "left")
        assert "Loss of training patterns" in view.text
        assert "epoch 30" in view.text.splitlines()[-1]
        await press(pilot, "escape")
        assert not isinstance(host.screen, FullChart)
        assert host.charts.chosen == "ranges"
        assert host.read[-1].startswith("epoch 30")

    drive(work, [one])


def test_a_double_click_opens_a_chart() -> None:
    async def work(host: Host, pilot: Pilot[None]) -> None:
        await pilot.click(host.chart("patterns"), offset=(20, 6), times=2)
        await settle(pilot)
        assert isinstance(host.screen, FullChart)
        assert host.screen.chosen == "patterns"
        await press(pilot, "f")
        assert not isinstance(host.screen, FullChart)

    drive(work, [shown()])


def test_a_chart_is_exported_as_svg_and_nothing_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    async def work(host: Host, pilot: Pilot[None]) -> None:
        await export(pilot, "e", "e", "down", "e")
        files = sorted(path.name for path in tmp_path.iterdir())
        assert files == ["one-accuracy-2.svg", "one-accuracy.svg", "one-patterns.svg"]
        document = (tmp_path / "one-accuracy.svg").read_text(encoding="utf-8")
        texts = {element.text for element in ElementTree.fromstring(document).iter() if element.text}
        assert {"Test accuracy · one", "natural", "PGD-20", "best"} <= texts
        assert document == (tmp_path / "one-accuracy-2.svg").read_text(encoding="utf-8")
        assert [severity for _, severity in host.notes] == ["information"] * 3
        assert (str(tmp_path / "one-accuracy.svg"), "information") in host.notes

    drive(work, [shown()])


def test_a_chart_is_exported_as_png(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    async def work(host: Host, pilot: Pilot[None]) -> None:
        await export(pilot, "E", "f", "E")  # in the grid, and on the whole screen
        assert isinstance(host.screen, FullChart)
        for name in ("one-accuracy.png", "one-accuracy-2.png"):
            with Image.open(tmp_path / name) as picture:
                assert (picture.format, picture.width) == ("PNG", 2000)
                assert picture.info["dpi"] == pytest.approx((200, 200), abs=0.1)
        assert sorted(host.notes) == [(str(tmp_path / f"one-accuracy{n}.png"), "information") for n in ("-2", "")]

    drive(work, [shown()])


def test_an_exported_chart_says_what_it_is_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seeds = [shown("one"), shown("two", 1)]

    async def work(host: Host, pilot: Pilot[None]) -> None:
        await export(pilot, "e")
        assert ">Test accuracy · dom<" in (tmp_path / "dom-accuracy-2-runs.svg").read_text(encoding="utf-8")
        host.charts.show([replace(one, group="dom (quick)") for one in seeds])
        await export(pilot, "w", "e")
        smoothed = (tmp_path / "dom-quick-accuracy-2-runs.svg").read_text(encoding="utf-8")
        assert ">Test accuracy (smoothed, 0.6) · dom (quick)<" in smoothed
        await press(pilot, "w", "w")
        host.charts.show([seeds[0], replace(seeds[1], group="another")])
        await export(pilot, "e")
        assert ">Test accuracy<" in (tmp_path / "accuracy-2-runs.svg").read_text(encoding="utf-8")

    drive(work, seeds)


def test_an_export_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    async def work(host: Host, pilot: Pilot[None]) -> None:
        monkeypatch.setattr(files, "replace", full)
        await export(pilot, "e")
        (note,) = host.notes
        assert note == (f"cannot write {tmp_path / 'one-accuracy.svg'}: No space left on device", "error")

    drive(work, [shown()])


def test_a_png_without_matplotlib_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"] + ["matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)

    async def work(host: Host, pilot: Pilot[None]) -> None:
        await export(pilot, "E")
        assert host.notes == [("figures need matplotlib; install it with: pip install 'domcli[plot]'", "error")]
        assert list(tmp_path.iterdir()) == []

    drive(work, [shown()])


def test_in_a_browser_an_export_is_a_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sent: list[tuple[str, str, bytes]] = []
    monkeypatch.setattr(Host, "is_web", True)

    def deliver(_: Host, file: IO[bytes], *, save_filename: str, mime_type: str) -> None:
        sent.append((save_filename, mime_type, file.read(8)))

    monkeypatch.setattr(Host, "deliver_binary", deliver)

    async def work(host: Host, pilot: Pilot[None]) -> None:
        await export(pilot, "e")
        await export(pilot, "E")
        assert sent == [
            ("one-accuracy.svg", "image/svg+xml", b"<svg xml"),
            ("one-accuracy.png", "image/png", b"\x89PNG\r\n\x1a\n"),
        ]
        assert list(tmp_path.iterdir()) == []

    drive(work, [shown()])


def test_before_the_first_epoch_every_chart_says_so() -> None:
    async def work(host: Host, _: Pilot[None]) -> None:
        assert host.charts.seen
        for key in host.charts.seen:
            assert "no epoch is finished yet" in host.chart(key).text

    drive(work, [shown(epochs=0)])


def test_gpus_get_charts_when_there_are_any() -> None:
    async def work(host: Host, pilot: Pilot[None]) -> None:
        assert "gpu" not in host.charts.seen
        for second in range(3):
            host.charts.show_system([Gpu(0, "GPU-0", "a GPU", 80 << 30, 20 << 30, 65, ())], float(second))
        await settle(pilot)
        await press(pilot, "up", "up")
        assert host.charts.chosen == "gpu"
        view = host.chart("gpu")
        assert "GPU utilisation" in view.text
        before = view.draws
        host.charts.show_system([Gpu(0, "GPU-0", "a GPU", 80 << 30, 20 << 30, 5, ())], 60.0)
        await settle(pilot)
        assert view.draws == before + 1
        await pilot.hover(view, offset=(20, 6))
        await wheel(pilot, view, up=True, column=20)
        assert host.charts.viewer.view.cursor is None  # its x axis is not the common one
        assert host.charts.viewer.view.window is None

    drive(work, [shown()], size=(100, 34))


def test_a_theme_changes_the_colours() -> None:
    async def work(host: Host, pilot: Pilot[None]) -> None:
        assert DARK.run_colour(1) in colours(host.chart("accuracy"))
        host.theme = THEMES[1].name
        await settle(pilot)
        assert LIGHT.run_colour(1) in colours(host.chart("accuracy"))
        assert DARK.run_colour(1) not in colours(host.chart("accuracy"))
        host.theme = "ansi-dark"
        await settle(pilot)
        assert not any(name.startswith("#") for name in colours(host.chart("accuracy")))

    drive(work, [replace(shown(), colour=1)])


def test_it_works_without_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def work(host: Host, pilot: Pilot[None]) -> None:
        await press(pilot, "left", "f")
        assert isinstance(host.screen, FullChart)
        await press(pilot, "f")
        assert colours(host.chart("accuracy")) <= {"default"}
        assert "╱" in host.chart("ranges").text  # shadings in place of colours

    drive(work, [shown(), shown("two", 1)])


@pytest.mark.parametrize("size", [(80, 24), (40, 12), (12, 4), (300, 90)])
def test_any_size_is_drawn_to_its_edges(size: tuple[int, int]) -> None:
    async def work(host: Host, pilot: Pilot[None]) -> None:
        await press(pilot, "left")
        await pilot.resize_terminal(*size)
        await settle(pilot)
        assert host.charts.seen
        for key in host.charts.seen:
            view = host.chart(key)
            rows = [view.render_line(y) for y in range(view.size.height)]
            assert [strip.cell_length for strip in rows] == [view.size.width] * view.size.height
        await press(pilot, "f", "down", "w", "f")

    drive(work, [shown(), shown("two", 1)])


def test_without_colours_no_mark_is_drawn_as_if_it_were_of_all_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    other = shown("two", 1)
    settings = {**other.run.settings, "dom": {"operate": "none"}}
    plain = replace(other, run=replace(other.run, settings=settings, state=RunState(other.run.state.started)))

    async def work(host: Host, pilot: Pilot[None]) -> None:
        assert "DOM on · lr ÷10 one" in host.chart("accuracy").text
        assert "┊" not in host.chart("loss").text
        host.charts.show([shown()])
        await settle(pilot)
        assert "┊" in host.chart("loss").text

    drive(work, [shown(), plain])
