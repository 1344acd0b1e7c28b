"""The runs of a directory as the dashboard reads them: only what has changed, whole only what is shown."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import msgspec
import pytest
from dashboard_runs import epoch, started

from domcli import rundir
from domcli.dashboard import words
from domcli.dashboard.model import Listed, Snapshot, Wanted
from domcli.dashboard.source import DirectorySource
from domcli.devices import CPU
from domcli.events import AnyEvent, Finished, encode
from domcli.launch import queue, slots
from domcli.process import ProcessIdentity, identify
from domcli.rundir import RunDirectory
from domcli.runs import RunReader
from domcli.settings import Settings
from domcli.stream import EventWriter

NOBODY = ProcessIdentity(pid=2**22 + 1, start_time=1.0, host="another-machine", cwd="/", launched=1.0)


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def make(runs_dir: Path, name: str, *, epochs: int = 30, finished: bool = True, long_ago: bool = True) -> RunDirectory:
    """A run of another machine; one that changed long ago is settled."""
    settings = Settings.model_validate({"train": {"epochs": epochs}}).to_dict()
    run = rundir.create(runs_dir, name, settings, {"preset": "pgd-dom-re"})
    events: list[AnyEvent] = [started(epochs), *(epoch(number, best=number == 1) for number in range(1, epochs + 1))]
    if finished:
        events.append(Finished(seconds=1.0))
    run.events.write_bytes(b"".join(encode(msgspec.structs.replace(one, time=time.time())) for one in events))
    run.write_process(NOBODY)
    if long_ago:
        os.utime(run.path, (1e9, 1e9))
    return run


def read(source: DirectorySource, *whole: str) -> Snapshot:
    return source.read(Wanted(frozenset(whole), whole[0] if whole else None))


def one(snapshot: Snapshot, name: str) -> Listed:
    return next(run for run in snapshot.runs if run.name == name)


def test_a_queued_run_knows_that_a_benchmark_keeps_its_device(runs_dir: Path) -> None:
    make(runs_dir, "done")
    queued = rundir.create(runs_dir, "queued", Settings().to_dict(), {"preset": "pgd-dom-re"}, queue.new_ticket((CPU,)))
    source = DirectorySource(runs_dir)
    assert words.sentence(one(read(source), queued.name)) == "place 1 in the queue, for cpu"
    kept = slots.keep(slots.host_folder(runs_dir), CPU)
    assert kept is not None
    snapshot = read(source)
    expected = "place 1 in the queue, for cpu; a benchmark keeps cpu for itself"
    assert words.sentence(one(snapshot, queued.name)) == expected
    assert one(snapshot, "done").waits is None
    kept.close()
    assert words.sentence(one(read(source), queued.name)) == "place 1 in the queue, for cpu"


def test_only_runs_that_are_shown_are_given_whole(runs_dir: Path) -> None:
    make(runs_dir, "a")
    make(runs_dir, "b")
    snapshot = read(DirectorySource(runs_dir), "a")
    assert set(snapshot.whole) == {"a"}
    assert len(snapshot.whole["a"].state.epochs) == 30


def test_the_list_is_condensed_where_the_trainer_kept_a_brief(runs_dir: Path) -> None:
    from domcli.brief import BriefWriter

    run = make(runs_dir, "a", finished=False)
    writer = BriefWriter(run)
    writer.write(Finished(seconds=1.0))
    writer.close()
    os.utime(run.path, (1e9, 1e9))
    source = DirectorySource(runs_dir)
    assert len(one(read(source), "a").run.state.epochs) < 10
    assert len(read(source, "a").whole["a"].state.epochs) == 30


def test_a_settled_run_is_not_read_again(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(runs_dir, "settled")
    make(runs_dir, "at-work", finished=False)
    source = DirectorySource(runs_dir)
    read(source)
    read(source)
    again: list[str] = []
    original = RunReader.read
    monkeypatch.setattr(RunReader, "read", lambda self: again.append(self.directory.name) or original(self))
    first, second = read(source), read(source)
    assert set(again) == {"at-work"}
    assert one(first, "settled") is one(second, "settled")


def test_nothing_new_is_an_equal_snapshot(runs_dir: Path) -> None:
    make(runs_dir, "a")
    make(runs_dir, "b", finished=False)
    source = DirectorySource(runs_dir)
    for _ in range(3):  # what is looked up when idle comes with the later ones
        before = read(source, "a")
    assert read(source, "a") == before


def test_what_is_appended_is_seen_at_once(runs_dir: Path) -> None:
    run = make(runs_dir, "a", epochs=2, finished=False)
    source = DirectorySource(runs_dir)
    assert one(read(source), "a").run.status == "running"
    writer = EventWriter(run.events)
    writer.write(epoch(3, 0.9, best=True))
    writer.write(Finished(seconds=1.0))
    writer.close()
    after = one(read(source), "a").run
    assert after.status == "finished"
    assert after.state.epochs_done == 3


def test_a_settled_run_that_is_launched_again_is_noticed(runs_dir: Path) -> None:
    run = make(runs_dir, "a", epochs=2)
    source = DirectorySource(runs_dir)
    assert one(read(source), "a").run.status == "finished"
    here = identify()
    assert here is not None
    run.write_process(msgspec.structs.replace(here, launched=time.time() + 1))
    assert one(read(source), "a").run.status == "starting"


def test_new_and_vanished_runs_are_noticed(runs_dir: Path) -> None:
    source = DirectorySource(runs_dir)
    assert read(source).runs == ()
    make(runs_dir, "a")
    make(runs_dir, "b")
    assert {run.name for run in read(source).runs} == {"a", "b"}
    shutil.rmtree(runs_dir / "a")
    snapshot = read(source, "a", "b")
    assert {run.name for run in snapshot.runs} == {"b"}
    assert set(snapshot.whole) == {"b"}
    assert snapshot.detail is None


def test_findings_of_runs_nobody_looks_at_come_when_there_is_time(runs_dir: Path) -> None:
    run = make(runs_dir, "a", epochs=1)
    bad = [epoch(number, 0.1, natural=0.1) for number in range(2, 9)]
    lost = [msgspec.structs.replace(end, train=msgspec.structs.replace(end.train, natural_loss=None)) for end in bad]
    with run.events.open("ab") as stream:
        stream.write(b"".join(map(encode, lost)))
    os.utime(run.path, (1e9, 1e9))
    source = DirectorySource(runs_dir)
    read(source)
    assert [finding.kind for finding in one(read(source), "a").findings] == ["divergence"]


def test_the_papers_number_is_known_for_its_settings_alone(runs_dir: Path) -> None:
    make(runs_dir, "short")
    run = make(runs_dir, "theirs")
    rundir.replace_text(run.settings, "")
    settings = Settings().to_dict()
    import tomli_w

    rundir.replace_text(run.settings, tomli_w.dumps(settings))
    source = DirectorySource(runs_dir)
    read(source)
    snapshot = read(source)
    assert list(snapshot.papers) == [one(snapshot, "theirs").group]
    assert 0.4 < snapshot.papers[one(snapshot, "theirs").group] < 0.6


def test_the_detail_has_log_environment_and_checkpoints(runs_dir: Path) -> None:
    run = make(runs_dir, "a")
    run.log.write_text("hello\n")
    run.checkpoint("best").write_bytes(b"12345")
    source = DirectorySource(runs_dir)
    detail = read(source, "a").detail
    assert detail is not None
    assert detail.log == ("hello",)
    assert detail.checkpoints == (("best.safetensors", 5),)
    assert detail.environment["preset"] == "pgd-dom-re"
    assert [(changed.key, changed.values) for changed in detail.changed or ()] == [("train.epochs", ("30", "200"))]
    with run.log.open("a") as log:
        log.write("again\n")
    after = read(source, "a").detail
    assert after is not None
    assert after.log == ("hello", "again")
