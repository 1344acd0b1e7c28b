"""What `domcli doctor` says of GPUs, cores and memory that are given to it."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from checked import by_name

from domcli import devices
from domcli.checks import machine
from domcli.devices import Gpu, GpuProcess
from domcli.events import BusyCores
from domcli.limits import Limits, read_limits

GIB = 2**30


def gpu(index: int = 0, used: int = 10, *processes: GpuProcess) -> Gpu:
    return Gpu(index, f"GPU-{index}abcdef", "NVIDIA H200", 140 * GIB, used * GIB, 71, processes)


def test_gpus_and_who_uses_them():
    own, gone = os.getpid(), 2**22 + 1
    busy = gpu(0, 10, GpuProcess(own, 3 * GIB), GpuProcess(gone, None))
    found = by_name(machine.gpu_checks([busy, gpu(1, 139)], "580.1", {}, {own: "pgd-dom-re-seed0"}))
    lines = found["cuda:0"].text.splitlines()
    assert lines[0] == "NVIDIA H200, 10.0 GiB of 140.0 GiB in use, 71 % busy"
    assert lines[1].startswith(f"run pgd-dom-re-seed0 (pid {own} of ")
    assert lines[1].endswith(", 3.0 GiB)")
    assert lines[2] == f"a process that cannot be seen from here (pid {gone})"
    assert [user["run"] for user in found["cuda:0"].details["processes"]] == ["pgd-dom-re-seed0", None]
    assert [found[name].status for name in ("driver", "cuda:0", "cuda:1")] == ["ok", "ok", "warning"]


@pytest.mark.parametrize(("value", "hidden", "status"), [("1", "cuda:0", "ok"), ("", "cuda:0, cuda:1", "warning")])
def test_hidden_gpus(value, hidden, status):
    environment = {devices.VISIBLE: value}
    found = by_name(machine.gpu_checks([gpu(0), gpu(1)], "580.1", environment, {}))["visible"]
    assert (found.status, found.text) == (status, f"CUDA_VISIBLE_DEVICES={value} hides {hidden}")
    assert "visible" not in by_name(machine.gpu_checks([gpu(0), gpu(1)], "580.1", {}, {}))


def test_numbers_that_are_not_nvidia_smis(monkeypatch):
    mixed = [gpu(0), replace(gpu(1), product="NVIDIA Slow")]
    environment = {devices.VISIBLE: "0"}
    monkeypatch.setattr(devices, "CUDA_NUMBERS", (sys.executable, "-c", "print('1abcdef', '0abcdef')"))
    found = by_name(machine.gpu_checks(mixed, "580.1", environment, {}))["visible"]
    assert found.text == (
        "CUDA_VISIBLE_DEVICES=0 hides cuda:0 (cuda:N is nvidia-smi's number, in CUDA_VISIBLE_DEVICES CUDA counts the "
        "fastest GPU first)"
    )
    monkeypatch.setattr(devices, "CUDA_NUMBERS", (sys.executable, "-c", "raise SystemExit('a; b')"))
    found = by_name(machine.gpu_checks(mixed, "580.1", environment, {}))
    assert found["visible"].status == "problem"
    assert found["visible"].text.endswith("which GPUs these numbers mean cannot be told (a; b)")
    assert found["visible"].remedy.startswith("give ids in their place")
    assert "cuda:1" in found


def test_a_gpu_without_a_driver(tmp_path):
    assert machine.gpu_checks([], None, {}, {}, tmp_path)[0].status == "ok"
    card = tmp_path / "bus/pci/devices/0000:01:00.0"
    card.mkdir(parents=True)
    (card / "vendor").write_text("0x10de\n")
    (card / "class").write_text("0x030200\n")
    (silent,) = machine.gpu_checks([], None, {}, {}, tmp_path)
    assert (silent.status, silent.text) == ("warning", "there is an NVIDIA GPU, but its driver does not answer")
    assert machine.gpu_checks([], "580.1", {}, {}, tmp_path)[0].text.endswith("but it does not answer")


def test_cores_and_memory():
    assert machine.cpu("Xeon", 8, 16, True, Limits()).text == "Xeon, 8 cores of 16, trains in bfloat16 (AMX)"
    limited = machine.cpu("Xeon", 8, 8, False, Limits(cores=2.5))
    assert limited.text == "Xeon, 8 cores, trains in float32, limited to 2.5 by a control group"
    memory = SimpleNamespace(total=64 * GIB, available=32 * GIB)
    assert machine.ram(memory, Limits()).text == "32.0 GiB available of 64.0 GiB"
    assert machine.ram(memory, Limits(memory=100 * GIB)).status == "ok"
    small = machine.ram(memory, Limits(memory=8 * GIB, memory_used=6 * GIB))
    assert (small.status, small.text) == ("warning", "2.0 GiB available of 8.0 GiB that a control group allows")


@pytest.mark.parametrize(
    ("busy", "status", "text"),
    [
        (BusyCores(busy=1.5, cores=2), "warning", "other programs keep 1.5 of 2 cores busy"),
        (BusyCores(busy=0.3, cores=2), "ok", "other programs leave the cores free"),
    ],
)
def test_others_on_the_cores(busy, status, text):
    load = by_name(machine.cpu_checks(Limits(), lambda: busy))["load"]
    assert (load.status, load.text) == (status, text)
    assert load.details == {"busy": busy.busy, "cores": 2}


def test_cores_that_cannot_be_watched():
    assert "load" not in by_name(machine.cpu_checks(Limits(), lambda: None))
    assert by_name(machine.cpu_checks(Limits(), lambda: 1 // 0))["load"].status == "problem"


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/a/b\n", {"a/memory.max": "max", "a/b/memory.max": "4096", "a/b/memory.current": "96"}, (4096, 96, None)),
        ("0::/a/b\n", {"a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000"}, (None, None, 1.5)),
        ("0::/a\n", {"memory.max": "10", "memory.current": "1", "a/memory.max": "9"}, (9, None, None)),
        ("0::/a\n", {"memory.max": "10", "memory.current": "1", "a/memory.max": "11"}, (10, 1, None)),
        ("0::/elsewhere\n", {"memory.max": "10", "memory.current": "1"}, (10, 1, None)),
        (
            "4:memory:/job\n3:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n",
            {
                "memory/job/memory.limit_in_bytes": "77",
                "memory/job/memory.usage_in_bytes": "7",
                "cpu/cpu.cfs_quota_us": "200000",
                "cpu/cpu.cfs_period_us": "100000",
            },
            (77, 7, 2.0),
        ),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, (None, None, None)),
        ("", {}, (None, None, None)),
    ],
)
def test_limits_of_control_groups(tmp_path, groups, files, expected):
    for name, content in {f"sys/fs/cgroup/{name}": content for name, content in files.items()}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content + "\n")
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups)
    assert read_limits(tmp_path) == Limits(*expected)
