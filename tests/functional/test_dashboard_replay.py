"""Runs of the past, played as if they were at work."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec
import pytest
import recorded
from conftest import CommandLine

from domcli.cli import dashboard
from domcli.dashboard.app import DomcliApp
from domcli.dashboard.model import Snapshot, Wanted
from domcli.dashboard.replay import ReplayError, ReplaySource, play_times
from domcli.dashboard.source import DirectorySource
from domcli.events import Finished, Started, Stopped
from domcli.rundir import RunDirectory

RUNS = Path("runs")


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Player:
    """A replay whose time is what a test says."""

    def __init__(self, *runs: RunDirectory, speed: float = 10.0) -> None:
        self.now = 1000.0
        self.speed = speed
        self.source = ReplaySource(RUNS, runs, speed, clock=lambda: self.now)
        self.source.read(Wanted())

    def at(self, seconds: float, wanted: Wanted = Wanted()) -> Snapshot:  # noqa: B008 - it is frozen
        """Return what is seen when so many seconds of the run have been played."""
        self.now = 1000.0 + seconds / self.speed
        return self.source.read(wanted)


def test_a_run_begins_with_nothing_but_its_start() -> None:
    (one,) = Player(recorded.make("one")).at(0.0).runs
    assert one.run.status == "running"
    assert one.run.state.started is not None
    assert one.run.state.epochs == ()
    assert one.run.state.progress is None


def test_an_epoch_appears_at_its_time_divided_by_the_speed() -> None:
    for speed in (1.0, 50.0):
        player = Player(recorded.make(f"at-{speed:g}"), speed=speed)
        seconds = recorded.end_of_epoch(7)
        before, after = player.at(seconds - 0.1).runs[0], player.at(seconds + 0.1).runs[0]
        assert (before.run.state.epochs_done, after.run.state.epochs_done) == (6, 7)
        assert before.run.state.progress is not None
        assert before.run.state.progress.epoch == 7
        assert player.now - 1000.0 == pytest.approx(seconds / speed, rel=0.01)


def test_what_remains_is_told_as_it_was_then() -> None:
    one = Player(recorded.make("one")).at(recorded.end_of_epoch(5) + 0.1).runs[0]
    pace = one.run.state.seconds / 5
    assert one.run.state.remaining_seconds() == pytest.approx(25 * pace)


def test_the_watch_finds_the_collapse_when_it_has_happened_and_not_before() -> None:
    player = Player(recorded.make("one"))
    assert player.at(recorded.end_of_epoch(7) + 0.1).runs[0].findings == ()
    assert [found.badge for found in player.at(recorded.end_of_epoch(12) + 0.1).runs[0].findings] == ["CO"]


def test_at_its_end_a_run_is_what_it_is() -> None:
    player = Player(recorded.make("done", 0, 20, Finished(seconds=1.0)), recorded.make("gone", 1))
    seconds = recorded.end_of_epoch(20)
    assert [one.run.status for one in player.at(seconds + 0.5).runs] == ["running", "lost"]
    assert [one.run.status for one in player.at(seconds + 1.5).runs] == ["finished", "lost"]


def test_the_pause_before_a_resume_is_left_out() -> None:
    started, stopped, finished = recorded.events()[0], Stopped(reason="", epoch=1, step=0), Finished(seconds=1)
    moments = ((started, 90.0), (stopped, 100.0), (started, 5000.0), (finished, 5007.0))
    assert play_times([msgspec.structs.replace(event, time=time) for event, time in moments]) == [0.0, 10.0, 10.0, 17.0]


def test_a_resumed_run_does_its_epochs_again() -> None:
    first = recorded.events()[0]
    assert isinstance(first, Started)
    again = msgspec.structs.replace(first, epoch=3, step=120)
    player = Player(recorded.make("one", 0, 5, Stopped(reason="asked to", epoch=3, step=0), again))
    before = player.at(recorded.end_of_epoch(5) + 0.5).runs[0]
    after = player.at(recorded.end_of_epoch(5) + 5).runs[0]
    assert (before.run.state.epochs_done, after.run.state.epochs_done) == (5, 3)


def test_runs_begin_together_whenever_they_were_done() -> None:
    early, late = recorded.make("early"), recorded.make("late", 1)
    shifted = [msgspec.structs.replace(event, time=event.time + 1e6) for event in recorded.events()]
    late.events.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in shifted))
    snapshot = Player(late, early).at(recorded.end_of_epoch(4) + 0.1)
    assert [(one.name, one.run.state.epochs_done) for one in snapshot.runs] == [("early", 4), ("late", 4)]


def test_only_wanted_runs_are_given_whole() -> None:
    player = Player(recorded.make("one"), recorded.make("two", 1))
    snapshot = player.at(recorded.end_of_epoch(4) + 0.1, Wanted(frozenset({"two", "none"})))
    assert {name: run.state.epochs_done for name, run in snapshot.whole.items()} == {"two": 4}


def test_log_and_checkpoints_are_not_shown_before_their_time() -> None:
    run = recorded.make("one")
    run.log.write_text("the end of it all\n")
    run.checkpoint("last").write_bytes(b"12345")
    player = Player(run)
    wanted = Wanted(frozenset({"one"}), "one")
    detail = player.at(recorded.end_of_epoch(4), wanted).detail
    assert detail is not None
    assert (detail.log, detail.checkpoints) == ((), ())
    assert detail.environment["domcli"] == "1.2.3"
    detail = player.at(recorded.end_of_epoch(20) + 1, wanted).detail
    assert detail is not None
    assert (detail.log, detail.checkpoints) == (("the end of it all",), (("last.safetensors", 5),))


def test_a_damaged_line_is_left_out() -> None:
    run = recorded.make("one")
    lines = run.events.read_bytes().splitlines(keepends=True)
    run.events.write_bytes(b"".join([*lines[:10], b"nonsense\n", *lines[10:]]))
    player = Player(run)
    assert player.at(recorded.end_of_epoch(6) + 0.1).runs[0].run.problem is None
    one = player.at(1e9).runs[0]
    assert one.run.state.epochs_done == 20
    assert "line 11" in (one.run.problem or "")


def test_a_row_is_the_same_object_until_something_happens() -> None:
    player = Player(recorded.make("one"))
    before = player.at(recorded.end_of_epoch(3) + 0.1).runs[0]
    assert player.at(recorded.end_of_epoch(3) + 0.2).runs[0] is before
    assert player.at(recorded.end_of_epoch(4)).runs[0] is not before


def test_what_cannot_be_played_is_said_in_a_sentence() -> None:
    run = recorded.make("one")
    for speed in (0.0, -1.0, float("nan")):
        with pytest.raises(ReplayError, match="above 0"):
            ReplaySource(RUNS, [run], speed)
    with pytest.raises(ReplayError, match="two runs are called one"):
        ReplaySource(RUNS, [run, RunDirectory(Path("elsewhere") / "one")], 50)
    run.events.write_bytes(b"")
    with pytest.raises(ReplayError, match="runs/one cannot be replayed: it never started"):
        ReplaySource(RUNS, [run], 50)


def test_nothing_is_steered_in_a_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(DomcliApp, "notify", lambda _, message, **__: said.append(message))
    keys = ("n", "Q", "p", "K", "r", "R", "D")
    app = DomcliApp(Player(recorded.make("one")).source)

    async def session() -> None:
        async with app.run_test(size=(160, 45)) as pilot:
            screen = app.screen
            for key in keys:
                await pilot.press(key)
                assert app.screen is screen
            shown = {active.binding.key for active in screen.active_bindings.values() if active.enabled}
            assert "question_mark" in shown
            assert shown.isdisjoint(keys)

    asyncio.run(session())
    assert len(said) == len(keys)
    assert all("only be looked at" in sentence for sentence in said)


def test_a_source_that_does_not_steer_leaves_the_queue_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[Path] = []
    monkeypatch.setattr("domcli.launch.queue.wake", woken.append)
    DirectorySource(RUNS, steerable=False).system()
    assert woken == []
    DirectorySource(RUNS).system()
    assert woken == [RUNS]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--speed", "3"], "--replay RUN"),
        (["--port", "8123"], "add --web"),
        (["--replay", "one", "--writable"], "can only be looked at"),
        (["--replay", "none"], "no run named 'none'"),
        (["--replay", "one", "--speed", "0"], "a speed above 0"),
        (["--replay", "one"], "needs a terminal"),
        (["--port", "99999", "--web"], "65535"),
    ],
)
def test_options_that_make_no_sense(cli: CommandLine, arguments: list[str], sentence: str) -> None:
    recorded.make("one")
    done = cli("dashboard", *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_without_textual_serve_it_says_what_to_install(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    monkeypatch.delitem(sys.modules, "domcli.dashboard.web", raising=False)
    done = cli("dashboard", "--web")
    assert done.returncode == 2
    assert "pip install 'domcli[web]'" in done.stderr


@pytest.mark.parametrize(
    ("options", "steerable"),
    [({}, True), ({"read_only": True}, False), ({"web": True}, False), ({"web": True, "read_only": False}, True)],
)
def test_a_terminal_steers_and_a_browser_only_looks_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, bool], steerable: bool
) -> None:
    shown: list[bool] = []
    monkeypatch.setenv("TEXTUAL_DRIVER", "stands for a terminal")
    monkeypatch.setattr(DomcliApp, "run", lambda app: shown.append(app.source.steerable))
    monkeypatch.setattr(dashboard, "_serve", lambda *_, steerable: shown.append(steerable))
    dashboard.dashboard(**options)  # type: ignore[arg-type]
    assert shown == [steerable]
