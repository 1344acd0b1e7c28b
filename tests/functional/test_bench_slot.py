"""`domcli bench` and the queue: it waits for who is at work, nobody begins beside it, and its end frees the device."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from terminal import Terminal

from domcli import devices, results
from domcli.cli import bench_slot, bench_text, benching, output
from domcli.devices import CPU, Gpu, GpuProcess
from domcli.errors import StorageError
from domcli.launch import slots
from domcli.rundir import RunDirectory
from domcli.runs import read_run

HERE = Path(__file__).parent
QUEUE = ("run", "natural-dom-re", "--set", "train.epochs=2", "--device", "cpu", "--detach")
MANY = ("--jobs-per-gpu", "4")


@pytest.fixture
def begin(cli, tmp_path, monkeypatch):
    """Begin `domcli bench` on the CPU with the fake process; it is ended with the test."""
    monkeypatch.setenv("FAKE_BENCH", str(tmp_path))
    begun: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, str(HERE / "cli_with_fake_bench.py"), "bench", "--device", "cpu", "--json", "-"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        begun.append(process)
        return process

    yield start
    (tmp_path / "enough").touch()
    for process in begun:
        process.kill()
        process.communicate()


def status(tmp_path: Path, name: str) -> str:
    return read_run(RunDirectory(tmp_path / "runs" / name)).status


def measuring(tmp_path: Path) -> bool:
    return (tmp_path / "measuring").exists()


def test_a_second_ctrl_c_kills_what_cannot_be_asked(cli, begin, tmp_path, monkeypatch, until):
    monkeypatch.setenv("FAKE_BENCH_STUBBORN", "1")
    bench = begin()
    until(lambda: measuring(tmp_path))
    bench.send_signal(signal.SIGINT)
    while "press Ctrl-C again to kill it" not in bench.stderr.readline():
        assert bench.poll() is None
    bench.send_signal(signal.SIGINT)
    out, err = bench.communicate(timeout=60)
    assert (bench.returncode, out) == (130, "")
    assert "killing it" in err


def test_it_waits_for_the_trainer_and_queued_runs_wait_for_it(cli, begin, tmp_path, until):
    cli.play("wait")
    cli(*QUEUE, *MANY, "--name", "at-work")
    until(lambda: status(tmp_path, "at-work") == "running")
    bench = begin()
    assert bench.stderr.readline() == (
        "waits until cpu is free, where at-work is at work, and queued runs wait, too; Ctrl-C ends this\n"
    )
    cli.play("finish")
    cli(*QUEUE, *MANY, "--name", "later")
    assert (status(tmp_path, "later"), measuring(tmp_path)) == ("queued", False)
    cli("stop", "at-work")
    until(lambda: measuring(tmp_path))
    assert status(tmp_path, "later") == "queued"
    until(lambda: status(tmp_path, "at-work") == "stopped")
    ended = time.time()
    (tmp_path / "enough").touch()
    out, _ = bench.communicate(timeout=60)
    assert json.loads(out)["complete"]
    until(lambda: status(tmp_path, "later") == "finished")
    assert read_run(RunDirectory(tmp_path / "runs" / "later")).process.launched >= ended


def test_a_queued_run_says_that_it_waits_for_a_benchmark(cli, begin, tmp_path, until):
    (tmp_path / "runs").mkdir()
    begin()
    until(lambda: measuring(tmp_path))
    cli.play("finish")
    cli(*QUEUE, *MANY, "--name", "waiting")
    assert (
        "place 1 in the queue for cpu (up to 4 runs at a time) while a benchmark keeps cpu for itself"
        in cli("show", "waiting").stdout
    )
    terminal = Terminal(cli.command(*QUEUE[:-1], "--name", "followed"))
    terminal.wait_for("queued: a benchmark keeps cpu for itself, 1 before it; Ctrl-C takes it out")
    (tmp_path / "enough").touch()
    assert terminal.end() == 0
    until(lambda: status(tmp_path, "waiting") == "finished")


def test_a_benchmark_that_is_killed_frees_the_device_when_its_process_is_gone(cli, begin, tmp_path, until):
    (tmp_path / "runs").mkdir()
    bench = begin()
    until(lambda: measuring(tmp_path) and (tmp_path / "measuring").read_text())
    bench.kill()
    bench.wait()
    folder = slots.host_folder(tmp_path / "runs")
    assert slots.take(folder, [CPU], 4) is None
    cli.play("finish")
    cli(*QUEUE, *MANY, "--name", "waiting")
    assert status(tmp_path, "waiting") == "queued"
    psutil.Process(int((tmp_path / "measuring").read_text())).kill()
    until(lambda: status(tmp_path, "waiting") == "finished")


def test_ctrl_c_ends_the_wait_and_lets_go_of_the_device(begin, tmp_path):
    (tmp_path / "runs").mkdir()
    folder = slots.host_folder(tmp_path / "runs")
    slot = slots.take(folder, [CPU], 1)
    bench = begin()
    assert "where an evaluation is at work" in bench.stderr.readline()
    assert slots.is_kept(folder, CPU)
    bench.send_signal(signal.SIGINT)
    out, err = bench.communicate(timeout=60)
    assert (bench.returncode, out, err) == (130, "", "stopped before anything was measured\n")
    assert not slots.is_kept(folder, CPU)
    assert not measuring(tmp_path)
    slot.close()


def test_two_benchmarks_take_turns(begin, tmp_path, until):
    (tmp_path / "runs").mkdir()
    kept = slots.keep(slots.host_folder(tmp_path / "runs"), CPU)
    bench = begin()
    assert bench.stderr.readline() == "waits until cpu is free, where another benchmark is at work; Ctrl-C ends this\n"
    assert not measuring(tmp_path)
    kept.close()
    until(lambda: measuring(tmp_path))


def test_bad_input_is_refused_before_anybody_waits(cli, tmp_path):
    (tmp_path / "runs").mkdir()
    slot = slots.take(slots.host_folder(tmp_path / "runs"), [CPU], 1)
    bench = cli.begin("bench", "--device", "cpu", "--only", "pgd")
    try:
        out, err = bench.communicate(timeout=120)
    finally:
        bench.kill()
        slot.close()
    assert (bench.returncode, out) == (2, "")
    assert err.startswith("error: unknown case 'pgd'; the cases are natural, natural-remove,")


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Have the fake process end at once."""
    monkeypatch.setenv("FAKE_BENCH", str(tmp_path))
    monkeypatch.setattr(benching, "PROCESS", (sys.executable, str(HERE / "fake_bench.py")))
    (tmp_path / "enough").touch()


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize("where", ["option", "variable", "usual"])
def test_the_runs_directory_is_the_one_of_the_other_commands(cli, tmp_path, monkeypatch, where):
    seen: list[Path] = []
    folder = tmp_path / ("runs" if where == "usual" else "elsewhere")
    monkeypatch.setattr(bench_slot, "_wait", lambda _, __, runs_dir, *___: seen.append(runs_dir.absolute()))
    if where == "variable":
        monkeypatch.setenv("DOMCLI_RUNS_DIR", str(folder))
    option = ["--runs-dir", str(folder)] if where == "option" else []
    cli("bench", "--device", "cpu", *option, "--json", "-")
    assert (seen, folder.exists(), measuring(tmp_path)) == ([], False, True)
    folder.mkdir()
    cli("bench", "--device", "cpu", *option, "--json", "-")
    assert seen == [folder]


@pytest.mark.usefixtures("measured")
def test_a_runs_directory_that_cannot_be_written_does_not_keep_it_from_measuring(cli, tmp_path, monkeypatch):
    def refuse(_: Path) -> None:
        raise StorageError("cannot write in runs: Read-only file system")

    (tmp_path / "runs").mkdir()
    monkeypatch.setattr(slots, "host_folder", refuse)
    done = cli("bench", "--device", "cpu", "--json", "-")
    assert json.loads(done.stdout)["complete"]
    assert done.stderr.splitlines()[0] == (
        "cpu cannot be kept from runs of the queue meanwhile: cannot write in runs: Read-only file system"
    )


def gpu(index: int, *processes: GpuProcess) -> Gpu:
    return Gpu(index, f"GPU-{index}abcdef", "NVIDIA H200", 140 << 30, 1 << 30, 7, processes)


@pytest.mark.usefixtures("measured")
def test_strangers_on_a_gpu_are_told_of(cli, tmp_path, monkeypatch):
    monkeypatch.delenv(devices.VISIBLE, raising=False)
    service = tmp_path / "nvidia-cuda-mps-server"
    shutil.copy(shutil.which("sleep"), service)
    server = subprocess.Popen([service, "600"])
    strangers = [GpuProcess(pid, 3 << 30) for pid in (os.getpid(), 2**22 + 1, 2**22 + 2, 2**22 + 3)]
    found = [gpu(0, GpuProcess(server.pid, None)), gpu(1, *strangers, GpuProcess(server.pid, 30 << 20))]
    monkeypatch.setattr(devices, "gpus", lambda: found)
    try:
        assert "figures may be off" not in cli("bench", "--device", "cuda:0", "--json", "-").stderr
        first = cli("bench", "--device", "cuda:1", "--json", "-").stderr.splitlines()[0]
    finally:
        server.kill()
        server.wait()
    assert first.startswith("figures may be off: on cuda:1 there is also ")
    assert f"(pid {os.getpid()} of " in first
    assert "a process that cannot be seen from here (pid 4194306, 3.0 GiB) and 1 more; measure again" in first


def test_another_gpu_that_is_free_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv(devices.VISIBLE, raising=False)
    monkeypatch.setattr(devices, "gpus", lambda: [gpu(0), gpu(1), gpu(2), gpu(3)])
    folder = slots.host_folder(tmp_path)
    taken = slots.take(folder, [gpu(0).device], 1), slots.take(folder, [gpu(1).device], 1)
    kept = slots.keep(folder, gpu(2).device)
    said = bench_slot._why_it_waits(folder, gpu(0).device, tmp_path, kept=True)
    assert said.endswith("; Ctrl-C ends this; --device cuda:3 would not wait")
    for slot in (*taken, kept):
        slot.close()


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize("kind", ["full", "pipe"])
def test_what_was_measured_is_shown_when_its_file_cannot_be_written(cli, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(results, "READER_SECONDS", 0.0)
    monkeypatch.setattr(bench_text, "write_tables", lambda report: output.data(f"table of {len(report['cases'])}"))
    target = tmp_path / "found.json"
    if kind == "full":
        target.symlink_to("/dev/full")
    else:
        os.mkfifo(target)
    done = cli("bench", "--device", "cpu", "--json", "found.json")
    assert (done.returncode, done.stdout) == (2, "table of 1\n")
    reason = {"full": "No space left on device", "pipe": "Is a named pipe that nobody reads"}[kind]
    assert done.stderr.splitlines()[-1] == f"error: cannot write found.json: {reason}"
    assert target.is_symlink() if kind == "full" else target.is_fifo()
