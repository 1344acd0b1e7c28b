"""Which devices are meant by a name, with GPUs that a made-up driver shows."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest

from domcli import devices
from domcli.devices import CPU, Device, Gpu
from domcli.errors import DeviceError
from domcli.limits import Limits


def gpu(index: int) -> Gpu:
    return Gpu(index, f"GPU-{index}aaa-bbbb", "NVIDIA Test", 80 << 30, 1 << 30, 7, ())


FOUND = [gpu(index) for index in range(4)]
EACH = tuple(one.device for one in FOUND)


def names(wanted: str, found=FOUND, **environment: str) -> list[str]:
    return [device.name for device in devices.choose(wanted, found, environment)]


def test_a_gpu_goes_by_its_number_outside_and_by_its_id_inside():
    assert devices.choose("cuda:2", FOUND, {}) == (Device("cuda:2", "GPU-2aaa-bbbb"),)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("auto", ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]),
        ("cuda", ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]),
        ("cuda:2,cuda:0", ["cuda:2", "cuda:0"]),
        ("cuda:1, cuda:1", ["cuda:1"]),
        ("cpu", ["cpu"]),
    ],
)
def test_devices_by_name(wanted, expected):
    assert names(wanted) == expected


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("2,3", ["cuda:2", "cuda:3"]),
        ("GPU-1aaa", ["cuda:1"]),
        ("0,-1,2", ["cuda:0"]),
        ("1,1", ["cuda:1"]),
    ],
)
def test_hidden_gpus_do_not_count(visible, expected):
    assert names("auto", CUDA_VISIBLE_DEVICES=visible) == expected
    assert names("cuda", CUDA_VISIBLE_DEVICES=visible) == expected


def test_with_every_gpu_hidden_the_cpu_is_left():
    assert devices.choose("auto", FOUND, {"CUDA_VISIBLE_DEVICES": ""}) == (CPU,)
    with pytest.raises(DeviceError, match="hides every GPU"):
        names("cuda", CUDA_VISIBLE_DEVICES="")


def test_a_slice_of_a_gpu_goes_by_its_id():
    (device,) = devices.choose("auto", FOUND, {"CUDA_VISIBLE_DEVICES": "MIG-12"})
    assert device == Device("cuda:MIG-12", "MIG-12")


def test_where_the_driver_shows_no_gpu_torch_decides(monkeypatch):
    monkeypatch.setattr(devices, "_has_other_gpu", lambda: True)
    assert devices.choose("auto", [], {}) == (CPU,)
    assert devices.choose("cuda", [], {}) == (Device("cuda"),)
    assert devices.choose("cuda:1", [], {}) == (Device("cuda:1"),)


@pytest.mark.parametrize("wanted", ["gpu", "cuda:", "cuda:x", "auto,cpu", "", "cuda,cpu", "cuda:-1"])
def test_a_name_that_is_none_is_refused(wanted):
    with pytest.raises(DeviceError, match="unknown device"):
        names(wanted)


def test_without_any_gpu_none_is_passed_on(monkeypatch):
    monkeypatch.setattr(devices, "_has_other_gpu", lambda: False)
    assert devices.choose("auto", [], {}) == (CPU,)
    for wanted in ("cuda", "cuda:1", "cuda:0,cpu"):
        with pytest.raises(DeviceError, match=f"'{wanted}' is not available: no GPU is found on this machine"):
            devices.choose(wanted, [], {})


def test_a_gpu_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(DeviceError, match=r"'cuda:9' is not available: this machine has cuda:0, cuda:1, .* cuda:3$"):
        names("cuda:9")
    with pytest.raises(DeviceError, match=r"'cuda:0' is not available: this machine has cuda:1$"):
        names("cuda:0", CUDA_VISIBLE_DEVICES="1")


class Driver(SimpleNamespace):
    """The management library with two GPUs, of which the second does not answer."""

    class NVMLError(Exception):
        pass

    def __init__(self) -> None:
        super().__init__(open=0)

    def nvmlInit(self):
        self.open += 1

    def nvmlShutdown(self):
        self.open -= 1

    def nvmlDeviceGetCount(self):
        return 2

    def nvmlSystemGetDriverVersion(self):
        return b"570.1"

    def nvmlDeviceGetHandleByIndex(self, index):
        if index == 1:
            raise self.NVMLError("GPU is lost")
        return index

    def nvmlDeviceGetMemoryInfo(self, handle):
        return SimpleNamespace(total=100, used=25)

    def nvmlDeviceGetUtilizationRates(self, handle):
        raise self.NVMLError("Not Supported")

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return [SimpleNamespace(pid=17, usedGpuMemory=5), SimpleNamespace(pid=18, usedGpuMemory=None)]

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle):
        return [SimpleNamespace(pid=18, usedGpuMemory=None)]

    def nvmlDeviceGetUUID(self, handle):
        return b"GPU-x"

    def nvmlDeviceGetName(self, handle):
        return "NVIDIA Test"


def test_the_driver_is_asked_and_a_lost_gpu_left_out(monkeypatch):
    driver = Driver()
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    (found,) = devices.gpus()
    assert (found.index, found.uuid, found.product) == (0, "GPU-x", "NVIDIA Test")
    assert (found.memory_total, found.memory_used, found.utilization) == (100, 25, None)
    assert [(process.pid, process.memory) for process in found.processes] == [(17, 5), (18, None)]
    assert devices.driver_version() == "570.1"
    assert driver.open == 0


def test_a_missing_or_broken_library_means_no_gpus(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert devices.gpus() == []
    assert devices.driver_version() is None


@pytest.mark.parametrize(("granted", "expected"), [(None, 8), (2.5, 2), (0.2, 1), (64.0, 8)])
def test_cores_are_those_allowed_and_granted(monkeypatch, granted, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(devices, "read_limits", lambda: Limits(None, None, granted))
    assert devices.cpu_count() == expected


def test_the_cpu_has_a_name():
    assert devices.cpu_name()
