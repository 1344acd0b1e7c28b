"""Evaluations of checkpoints: plans that say what is measured, findings that survive crashes, results that are read."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from domcli import evaluations, files, rundir
from domcli.cli import evaluating
from domcli.errors import CheckpointError, ProcessError, SettingsError, StorageError
from domcli.evaluations import Batch, Evaluation, Findings, Plan, Progress, Refusal
from domcli.launch import slots
from domcli.presets import resolve
from domcli.rundir import RunDirectory
from domcli.settings import Settings

SETTINGS = resolve("pgd-dom-re", ["train.seed=3", "evaluation.steps=7", "attack.epsilon=6"])


def checkpoint(path: Path, epoch: int = 5, settings: Settings = SETTINGS, weights: bytes = b"1234") -> Path:
    """Write a file that begins as a checkpoint of domcli does."""
    about = {"epoch": epoch, "step": 0, "settings": f"{settings.digest()}-seed{settings.train.seed}"}
    header = json.dumps({"__metadata__": {"domcli": json.dumps(about)}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + weights)
    return path


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    made = rundir.create(tmp_path, "a-run", SETTINGS.to_dict(), {})
    for epoch, label in ((4, "best"), (5, "last"), (2, "epoch-0002")):
        checkpoint(made.checkpoint(label), epoch)
    return made


def plan(run: RunDirectory, **asked: Any) -> Plan:
    return evaluations.make_plan(run, SETTINGS, **asked)


def result(of: Plan, date: float = 1.0, accuracy: float = 0.5, **changes: Any) -> Evaluation:
    found = Evaluation(
        plan=of,
        accuracy=accuracy,
        natural_accuracy=0.75,
        stages={"natural": 0.75, "pgd": accuracy},
        images=10,
        test_images=10,
        seconds=2.0,
        date=date,
        device="cpu",
        device_name="a machine",
        versions={"torch": "2"},
    )
    return msgspec.structs.replace(found, **changes)


def keep(run: RunDirectory, found: Evaluation) -> Path:
    folder = evaluations.prepare(run, found.plan)
    evaluations.write_result(folder, found)
    return folder


def test_what_is_not_said_is_as_in_the_run(run: RunDirectory) -> None:
    made = plan(run)
    assert (made.checkpoint, made.epoch, made.step) == ("checkpoints/best.safetensors", 4, 0)
    assert (made.attack, made.norm, made.epsilon, made.alpha) == ("pgd", "linf", 6.0, 2.0)
    assert (made.steps, made.restarts, made.seed, made.images) == (7, 1, 3, None)
    assert (made.package, made.batch) == (None, None)
    assert made.digest == hashlib.sha256(run.checkpoint("best").read_bytes()).hexdigest()
    assert made.title == "PGD-7"


def test_what_is_said_counts(run: RunDirectory) -> None:
    made = plan(run, checkpoint="last", norm="l2", epsilon=128, alpha=15, steps=50, restarts=10, images=100)
    assert (made.epoch, made.norm, made.epsilon, made.alpha) == (5, "l2", 128.0, 15.0)
    assert (made.steps, made.restarts, made.images, made.title) == (50, 10, 100, "PGD-50-10")


def test_everything_that_decides_the_result_is_in_the_name(run: RunDirectory) -> None:
    first = plan(run)
    assert plan(run).name == first.name
    assert first.name.startswith("pgd-best-")
    others = [
        plan(run, **asked)
        for asked in (
            {"checkpoint": "last"},
            {"norm": "l2"},
            {"epsilon": 7},
            {"alpha": 1},
            {"steps": 8},
            {"restarts": 2},
            {"images": 10},
            {"attack": "autoattack"},
        )
    ]
    checkpoint(run.checkpoint("best"), 4, weights=b"5678")
    names = [other.name for other in (first, *others, plan(run))]
    assert len(set(names)) == len(names)


def test_a_file_of_the_run_is_the_checkpoint_of_that_name(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.checkpoints)
    expected = plan(run, checkpoint="epoch-0002")
    assert expected.file(run) == run.checkpoint("epoch-0002")
    for same in (str(run.checkpoint("epoch-0002")), "epoch-0002.safetensors"):
        assert plan(run, checkpoint=same) == expected


def test_a_copy_elsewhere_is_taken_and_that_of_another_run_is_not(run: RunDirectory, tmp_path: Path) -> None:
    copy = checkpoint(tmp_path / "copy.safetensors", 9)
    assert plan(run, checkpoint=str(copy)).file(run) == copy
    other = checkpoint(tmp_path / "other.safetensors", settings=resolve("pgd-dom-re", ["train.seed=4"]))
    with pytest.raises(
        CheckpointError, match=r"other\.safetensors was written with other settings than those of a-run"
    ):
        plan(run, checkpoint=str(other))


def test_a_missing_checkpoint_names_those_that_are_there(run: RunDirectory) -> None:
    with pytest.raises(CheckpointError, match=r"a-run has no checkpoint 'epoch-0007'.*it has best, epoch-0002, last$"):
        plan(run, checkpoint="epoch-0007")
    run.checkpoint("last").unlink()
    run.checkpoint("last").mkdir()
    with pytest.raises(CheckpointError, match=r"last\.safetensors is not a regular file, so there is no checkpoint"):
        plan(run, checkpoint="last")
    with pytest.raises(CheckpointError, match=r"it has best, epoch-0002$"):
        plan(run, checkpoint="epoch-0007")
    run.checkpoint("last").rmdir()
    for path in run.checkpoints.iterdir():
        path.unlink()
    with pytest.raises(CheckpointError, match=r"it has none$"):
        plan(run)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 a pickle in a zip file", (2**63).to_bytes(8, "little"), b"\x02" + b"\0" * 7 + b"{}", b"\0" * 99]
    + [len(text).to_bytes(8, "little") + text for text in (b'{"__metadata__":{"domcli":"3"}}', b"[1]", b"\xff\xfe")],
)
def test_a_file_that_is_no_checkpoint_is_one_sentence(run: RunDirectory, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"weights\.pth is not a readable domcli checkpoint") as caught:
        plan(run, checkpoint=str(tmp_path / "weights.pth"))
    assert "\n" not in str(caught.value)


def test_autoattack_takes_no_parameters_of_pgd(run: RunDirectory) -> None:
    made = plan(run, attack="autoattack", epsilon=4)
    assert (made.alpha, made.steps, made.restarts, made.batch) == (None, None, None, 250)
    assert made.package == f"pyautoattack {importlib.metadata.version('pyautoattack')}"
    assert made.title == "AutoAttack"
    with pytest.raises(SettingsError, match="AutoAttack has no --alpha and --steps"):
        plan(run, attack="autoattack", steps=50, alpha=1.0)


def test_autoattack_without_its_package_says_how_to_get_it(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(SettingsError, match=r"pip install 'domcli\[autoattack\]'"):
        plan(run, attack="autoattack")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"epsilon": -1.0}, "--epsilon is -1"),
        ({"epsilon": float("nan")}, "--epsilon is nan"),
        ({"alpha": 0.0}, "--alpha is 0"),
        ({"alpha": float("inf")}, "--alpha is inf"),
        ({"steps": 0}, "--steps is 0; it must be at least 1"),
        ({"steps": 10**23}, "--steps is more than 1,000,000, which no evaluation needs"),
        ({"restarts": 1_000_001}, "--restarts is more than 1,000,000"),
        ({"restarts": 0}, "--restarts is 0"),
        ({"images": -3}, "--images is -3"),
    ],
)
def test_senseless_parameters_are_refused(run: RunDirectory, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        plan(run, **asked)


def test_a_plan_comes_back_from_its_folder(run: RunDirectory) -> None:
    made = plan(run, steps=9)
    folder = evaluations.prepare(run, made)
    assert folder == run.evaluations / made.name
    assert evaluations.read_plan(folder) == made
    (folder / "plan.json").write_text("{}")
    with pytest.raises(StorageError, match=r"plan\.json cannot be read"):
        evaluations.read_plan(folder)


def test_results_are_read_oldest_first_and_only_whole_ones(run: RunDirectory) -> None:
    assert evaluations.read_all(run) == []
    second = result(plan(run), date=2.0)
    first = result(plan(run, steps=9), date=1.0)
    keep(run, second)
    keep(run, first)
    evaluations.prepare(run, plan(run, steps=10))
    (keep(run, result(plan(run, steps=11))) / "result.json").write_text('{"plan": 1}')
    (run.evaluations / "notes.txt").write_text("mine")
    assert evaluations.read_all(run) == [first, second]


def test_a_result_of_fewer_images_is_not_complete(run: RunDirectory) -> None:
    assert result(plan(run)).is_complete
    assert not result(plan(run, images=5), images=5).is_complete


def test_a_run_that_cannot_be_written_is_one_sentence(run: RunDirectory) -> None:
    run.evaluations.write_text("in the way")
    with pytest.raises(StorageError, match="cannot write in"):
        evaluations.prepare(run, plan(run))
    assert evaluations.read_all(run) == []


def put_in_place_of(path: Path, target: Path) -> None:
    path.rename(target.with_name("away"))
    path.symlink_to(target)


def test_nothing_is_prepared_in_what_is_put_in_place_of_a_folder(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    make = files.make_folder

    def make_and_swap(path: Path) -> None:
        make(path)
        put_in_place_of(path, precious)

    monkeypatch.setattr(files, "make_folder", make_and_swap)
    with pytest.raises(StorageError, match="cannot write in"):
        evaluations.prepare(run, plan(run))
    assert list(precious.iterdir()) == []


@pytest.mark.parametrize("swapped", ["run", "evaluations", "evaluation"])
def test_a_process_at_work_writes_nothing_into_what_is_put_in_place_of_its_folder(
    run: RunDirectory, tmp_path: Path, swapped: str
) -> None:
    found = result(plan(run))
    folder, precious = evaluations.prepare(run, found.plan), tmp_path / "precious"
    place = {"run": run.path, "evaluations": run.evaluations, "evaluation": folder}[swapped]
    inside = precious / folder.relative_to(place)
    inside.mkdir(parents=True)
    for name in ("images.jsonl", "result.json", "plan.json"):
        (inside / name).write_text("precious")
    with run.pinned("evaluate"):
        put_in_place_of(place, precious)
        with pytest.raises(StorageError, match="cannot write"):
            Findings(folder)
        with pytest.raises(StorageError, match="cannot write"):
            evaluations.write_result(folder, found)
    assert {path.name: path.read_text() for path in inside.iterdir()} == dict.fromkeys(
        ("images.jsonl", "result.json", "plan.json"), "precious"
    )


def test_no_log_is_written_into_what_is_put_in_place_of_the_folder_while_a_slot_is_waited_for(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precious, asked, take = tmp_path / "precious", plan(run), slots.take
    precious.mkdir()

    def swap_and_take(*arguments: Any) -> slots.Slot | None:
        put_in_place_of(run.evaluations / asked.name, precious)
        return take(*arguments)

    monkeypatch.setattr(slots, "take", swap_and_take)
    with pytest.raises(ProcessError, match="cannot start the evaluation of a-run"):
        evaluating.attack_checkpoint(run, asked, SETTINGS, "cpu", "1")
    assert list(precious.iterdir()) == []


FIRST = Batch("natural", [0, 1, 2], [True, False, True], 0.5)
SECOND = Batch("pgd", [0, 2], [False, True], 1.5)


def write(folder: Path, *batches: Batch) -> bytes:
    findings = Findings(folder)
    for batch in batches:
        findings.add(batch)
    findings.close()
    return (folder / "images.jsonl").read_bytes()


def test_findings_come_back_and_times_add_up(tmp_path: Path) -> None:
    write(tmp_path, FIRST)
    write(tmp_path, SECOND)
    findings = Findings(tmp_path)
    assert findings.of("natural") == {0: True, 1: False, 2: True}
    assert findings.of("pgd") == {0: False, 2: True}
    assert findings.of("square") == {}
    assert findings.seconds == 2.0
    findings.close()


@pytest.mark.parametrize(
    "rest",
    [
        b'{"stage":"pgd","images":[0,2',
        msgspec.json.encode(SECOND),
        b"\0\0\0\n",
        b'{"stage":"pgd","images":[0,2],"correct":[true],"seconds":1}\n',
        b"\xff\n" + msgspec.json.encode(SECOND) + b"\n",
    ],
)
def test_what_a_crash_leaves_is_cut_and_found_again(tmp_path: Path, rest: bytes) -> None:
    whole = write(tmp_path, FIRST)
    (tmp_path / "images.jsonl").write_bytes(whole + rest)
    findings = Findings(tmp_path)
    assert findings.of("pgd") == {}
    findings.add(SECOND)
    findings.close()
    assert (tmp_path / "images.jsonl").read_bytes() == whole + msgspec.json.encode(SECOND) + b"\n"


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = write(tmp_path, FIRST)
    findings = Findings(tmp_path)
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, content: real(file, content[:5]))
    with pytest.raises(StorageError, match="No space left"):
        findings.add(SECOND)
    monkeypatch.undo()
    assert (tmp_path / "images.jsonl").read_bytes() == whole
    assert findings.of("pgd") == {}
    findings.close()


def test_findings_that_cannot_be_written_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"):
        Findings(tmp_path / "missing")


def test_what_a_process_says_is_understood_and_the_words_of_libraries_are_not() -> None:
    progress = Progress(stage="pgd", done=1, images=2, correct=1, total=4, fraction=0.5, remaining=None)
    for said in (progress, Refusal("no such device")):
        line = evaluations.encode(said)
        assert line.endswith(b"\n")
        assert evaluations.decode(line) == said
    assert [evaluations.decode(line) for line in (b"", b"warning: something", b'{"kind":"other"}', b"\xff")] == [
        None
    ] * 4
