"""Calls of the program that reproduces rows of the paper's tables: options, refusals, signals and exit codes."""

from __future__ import annotations

import errno
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import reproduce
import reproduce_plan as plan
import reproduce_session as session

from domcli import rundir
from domcli.devices import CPU, Device
from domcli.errors import DeviceError


def test_how_many_share_a_gpu_is_what_was_measured_for_the_papers_images(monkeypatch: pytest.MonkeyPatch) -> None:
    class Automatic:
        def __init__(self, _devices: object) -> None:
            pass

        def jobs(self, settings: Any) -> int:
            return {"fgsm": 2, "none": 4}[settings.attack.name] if settings.data.dataset == "cifar10" else 1

    monkeypatch.setattr(reproduce.choice, "Automatic", Automatic)
    monkeypatch.setattr(reproduce.queue, "choose_devices", lambda wanted: ())
    wanted = plan.Wanted(rows=("fgsm", "natural"), seeds=(0,), root="images", jpeg=True)
    assert reproduce._jobs("auto", wanted) == {"fgsm": 2, "natural": 4}
    assert reproduce._jobs("3", wanted) == {"fgsm": 3, "natural": 3}


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The program in this process and an empty folder, on a machine without a GPU."""

    def no_gpu(wanted: str) -> tuple[Device, ...]:
        if wanted == "cpu":
            return (CPU,)
        raise DeviceError(f"device {wanted!r} is not available: no GPU is found on this machine; use --device cpu")

    monkeypatch.setattr(reproduce.queue, "choose_devices", no_gpu)
    monkeypatch.setattr(reproduce.signal, "signal", lambda number, handler: None)
    for name in ("PYTHONPATH", "DOMCLI_PLAIN"):
        monkeypatch.setenv(name, "")
    monkeypatch.chdir(tmp_path)

    def start(*arguments: str) -> int:
        try:
            return reproduce.main(arguments)
        except SystemExit as end:
            return int(end.code or 0)

    return start


def test_with_no_time_nothing_is_begun(
    call: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(session, "CLOSING_SECONDS", 540.0)
    assert call("--cpu", "--rows", "natural") == 3
    assert list((tmp_path / "reproduction" / "runs").iterdir()) == []
    summary = (tmp_path / "reproduction" / "summary.txt").read_text()
    assert capsys.readouterr().out.endswith(f"\n{summary}")
    assert "0 of 2 runs are finished, how long the others take is not known yet" in summary
    content = json.loads((tmp_path / "reproduction" / "results.json").read_text())
    assert (content["budget"], content["missing_seconds"], content["together"]) == (540, None, {"natural": 1})
    assert (tmp_path / "reproduction" / "tiny" / "train" / "class0" / "0000.jpg").is_file()


def test_a_run_with_other_settings_stops_all_before_anything_is_begun(
    call: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = plan.tasks(plan.Wanted(rows=("natural",), seeds=(0,), root="tiny", cpu=True))[1]
    folder = tmp_path / "reproduction" / "runs"
    run = rundir.create(folder, one.name, {**one.settings.to_dict(), "model": {"name": "preactresnet18"}}, {})
    assert call("--cpu", "--rows", "natural") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        f"error: {one.name} in {folder} has other settings than are asked for: model.width is not set, not 4; "
        "choose another --runs, or delete that run\n"
    )
    assert list(folder.iterdir()) == [run.path]


def test_the_help_names_every_exit_code(call: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith("usage: reproduce.sh")
    assert "Exit codes: 0 all that was asked for is finished, 1 a run failed, 2 bad usage or settings, or a" in text
    assert "3 the budget is over, or SIGTERM came, and something is missing, 130 Ctrl-C." in text
    assert "--budget SECONDS (default: 540); more than 27: 15 are kept for closing, and a start takes about 12" in text


def test_an_output_in_which_nothing_can_be_written_is_bad_usage(
    call: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert call("--cpu", "--output", "file") == 2
    assert capsys.readouterr().err == f"error: cannot write {tmp_path / 'file'}: File exists\n"
    assert call("--cpu", "--output", "file/below") == 2
    assert capsys.readouterr().err == f"error: cannot write {tmp_path / 'file' / 'below'}: Not a directory\n"

    def read_only(dir: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(reproduce.tempfile, "TemporaryFile", read_only)
    assert call("--cpu", "--output", "there") == 2
    assert capsys.readouterr().err == f"error: cannot write {tmp_path / 'there'}: Read-only file system\n"


def test_a_full_disk_before_anything_trains_is_told_in_a_sentence(
    call: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(reproduce, "make_archive", full)
    assert call("--cpu") == 2
    assert capsys.readouterr().err == f"error: cannot write {tmp_path / 'reproduction'}: No space left on device\n"


def test_a_signal_before_anything_trains_has_the_same_code(
    call: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers: dict[int, Callable[[int, object], object]] = {signal.SIGINT: signal.default_int_handler}
    monkeypatch.setattr(reproduce.signal, "signal", handlers.__setitem__)
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 3)):
        monkeypatch.setattr(reproduce, "unpack", lambda *_, number=number: handlers[number](number, None))
        assert call("--cpu") == code


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--rows", "fgsm,trades"], "--rows fgsm,trades: there is no row 'trades'; the rows are fgsm, natural, pgd"),
        (["--seeds", "a"], "--seeds 'a': write whole numbers"),
        (["--together", "0"], "--together 0: write auto, or a whole number"),
        ([], "no GPU is found on this machine; --cpu tries the program out without one"),
        (["--shorten", "0"], "--shorten is a whole number, 1 or more"),
        (["--shorten", "2", "--cpu"], "--shorten is a whole number, 1 or more, and does not go with --cpu"),
        (["--images", "nowhere.tar"], "--images nowhere.tar: there is no such archive"),
        (["--cpu", "--data", "here"], "--data is for the published images: it goes neither with --images nor with"),
        *(
            (["--budget", budget], "--budget must be a number of seconds, more than 27: 15 are kept for closing, and a")
            for budget in ("-1", "0", "15", "27", "nan", "inf")
        ),
    ],
)
def test_bad_usage_is_one_sentence(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    call: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(*arguments) == 2
    assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
