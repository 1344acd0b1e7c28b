"""Disks that are full or read-only: what can be done is done, and the rest once there is room again."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from at_work import supervisors
from conftest import CommandLine

from domcli import locks
from domcli.discarding import discard
from domcli.errors import StorageError
from domcli.rundir import RunDirectory
from domcli.runs import read_run

Until = Callable[[Callable[[], object]], None]
RUN = ("run", "pgd-dom-re", "--quick", "--detach", "--name", "it")
DISK_BYTES = 32 << 20


def mounted(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A disk of its own, of 32 megabytes, on which the runs directory lies."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or not mounted("-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)):
        pytest.skip("only root can mount a disk, and not everywhere")
    monkeypatch.setenv("DOMCLI_RUNS_DIR", str(folder / "runs"))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
        for size in (1 << 20, 512):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)
    return disk / "filler"


def is_advanced(runs: Path) -> bool:
    """Tell whether a supervisor is at work, which may not have been able to write who it is."""
    return any(map(locks.is_held, runs.glob(".domcli/*/supervisor-*.lock")))


def test_a_queue_on_a_full_disk_goes_on_once_there_is_room(cli: CommandLine, disk: Path, until: Until) -> None:
    runs, run = disk / "runs", RunDirectory(disk / "runs" / "it")
    assert cli(*RUN, scenario="no supervisor").returncode == 0
    until(lambda: not supervisors(runs))
    filler = fill(disk)
    cli.play("finish")
    listed = cli("runs", "--json")
    assert (listed.returncode, '"queued"' in listed.stdout) == (0, True)
    until(lambda: is_advanced(runs))
    for command in ("runs", "show it"):
        assert cli(*command.split()).returncode == 0
    assert read_run(run).status == "queued"
    assert is_advanced(runs)
    filler.unlink()
    until(lambda: read_run(run).status == "finished")
    until(lambda: not is_advanced(runs))


def test_a_trainer_is_killed_where_nothing_can_be_written(cli: CommandLine, disk: Path, until: Until) -> None:
    run = RunDirectory(disk / "runs" / "it")
    assert cli(*RUN, scenario="wait").returncode == 0
    until(lambda: read_run(run).state.epochs_done == 1)
    for supervisor in supervisors(disk / "runs"):
        supervisor.kill()
    subprocess.run(["mount", "--bind", str(disk), str(disk)], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(disk)], check=True)
    try:
        killed = cli("kill", "it")
        assert killed.returncode == 0, killed.stderr
        assert "Traceback" not in killed.stderr
        until(lambda: read_run(run).status == "lost")
        with pytest.raises(StorageError, match=f"cannot remove {run.path}: Read-only file system"):
            discard(run)
        for command in ("resume it", "delete it --yes", "run pgd-dom-re --quick --detach", "evaluate it"):
            done = cli(*command.split())
            assert (done.returncode, "Traceback" in done.stderr) == (2, False), command
            assert re.search("Read-only file system|is not writable|no checkpoint", done.stderr), command
        for command in ("runs", "show it", "logs it", "follow it"):
            assert "Traceback" not in cli(*command.split()).stderr
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
    assert read_run(run).status == "lost"
