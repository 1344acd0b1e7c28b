"""Which devices are meant by a name, with GPUs that a made-up driver shows."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from domcli import cuda_numbers, devices
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
        ("GPU-1aaa-bbbb,GPU-3,2", ["cuda:1", "cuda:3", "cuda:2"]),
        ("GPU-1,GPU-x,GPU-2", ["cuda:1"]),
        ("0,-1,2", ["cuda:0"]),
        ("3,9,2", ["cuda:3"]),
        ("1,1", ["cuda:1"]),
        (" 2 , 03,", ["cuda:2", "cuda:3"]),
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


MIXED = [replace(FOUND[0], product="NVIDIA Slow"), FOUND[1], FOUND[2]]
"""CUDA numbers these 2, 0, 1: its fastest is the last on the bus."""
IN_CUDA_ORDER = ("2aaa-bbbb", "0aaa-bbbb", "1aaa-bbbb")


@pytest.fixture
def cuda_says(monkeypatch):
    """Have a made-up script asked in place of CUDA."""

    def say(script: str) -> None:
        monkeypatch.setattr(devices, "CUDA_NUMBERS", (sys.executable, "-c", script))

    return say


@pytest.fixture
def cuda(cuda_says):
    """CUDA, which shows every GPU only to who does not hide any."""
    cuda_says(f"import os; print(*() if 'CUDA_VISIBLE_DEVICES' in os.environ else {IN_CUDA_ORDER})")


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize(
    ("visible", "expected"),
    [("0", ["cuda:2"]), ("1,2", ["cuda:0", "cuda:1"]), ("2,GPU-2", ["cuda:1", "cuda:2"]), ("1,3,2", ["cuda:0"])],
)
def test_of_different_gpus_a_number_means_the_gpu_that_cuda_means(visible, expected):
    assert names("auto", MIXED, CUDA_VISIBLE_DEVICES=visible) == expected
    chosen = devices.choose("cuda", MIXED, {"CUDA_VISIBLE_DEVICES": visible})
    assert [device.visible for device in chosen] == [f"GPU-{name[-1]}aaa-bbbb" for name in expected]


@pytest.mark.usefixtures("cuda")
def test_of_different_gpus_a_refusal_says_how_they_are_counted():
    assert names("cuda:2", MIXED, CUDA_VISIBLE_DEVICES="0") == ["cuda:2"]
    with pytest.raises(DeviceError) as refusal:
        names("cuda:0", MIXED, CUDA_VISIBLE_DEVICES="0")
    assert str(refusal.value) == (
        "device 'cuda:0' is not available: this machine has cuda:2 "
        "(cuda:N is nvidia-smi's number, in CUDA_VISIBLE_DEVICES CUDA counts the fastest GPU first)"
    )


def test_a_slice_that_a_number_means_goes_by_its_id(cuda_says):
    cuda_says("print('5-6', '0aaa-bbbb')")
    chosen = devices.choose("auto", MIXED, {"CUDA_VISIBLE_DEVICES": "0,1"})
    assert chosen == (Device("cuda:MIG-5-6", "MIG-5-6"), MIXED[0].device)


@pytest.mark.parametrize(
    ("wanted", "found", "environment", "expected"),
    [
        ("auto", MIXED, {"CUDA_VISIBLE_DEVICES": "0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, ["cuda:0"]),
        ("auto", FOUND, {"CUDA_VISIBLE_DEVICES": "0"}, ["cuda:0"]),
        ("auto", MIXED, {"CUDA_VISIBLE_DEVICES": "GPU-0"}, ["cuda:0"]),
        ("auto", MIXED, {"CUDA_VISIBLE_DEVICES": ""}, ["cpu"]),
        ("auto", MIXED, {"CUDA_VISIBLE_DEVICES": "-1"}, ["cpu"]),
        ("auto", MIXED, {}, ["cuda:0", "cuda:1", "cuda:2"]),
        ("cpu", MIXED, {"CUDA_VISIBLE_DEVICES": "0"}, ["cpu"]),
    ],
)
def test_cuda_is_asked_only_where_it_matters(cuda_says, wanted, found, environment, expected):
    cuda_says("raise SystemExit('asked')")
    assert names(wanted, found, **environment) == expected


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("import sys; sys.exit('cuInit failed with error 803')", "cuInit failed with error 803"),
        ("raise SystemExit(7)", "CUDA cannot be asked: exit code 7"),
        ("import time; time.sleep(600)", "CUDA does not answer within 0 s"),
    ],
)
def test_numbers_that_cannot_be_told_are_refused(cuda_says, monkeypatch, script, why):
    monkeypatch.setattr(devices, "CUDA_SECONDS", 0.4 if "sleep" in script else 60)
    cuda_says(script)
    with pytest.raises(DeviceError) as refusal:
        names("auto", MIXED, CUDA_VISIBLE_DEVICES="0,1")
    assert str(refusal.value) == (
        f"CUDA_VISIBLE_DEVICES=0,1: which GPUs these numbers mean cannot be told ({why}); give ids in their place, as "
        "nvidia-smi -L shows them, or set CUDA_DEVICE_ORDER=PCI_BUS_ID to have nvidia-smi's numbers"
    )


def test_a_program_that_is_not_there_is_a_refusal_too(monkeypatch):
    monkeypatch.setattr(devices, "CUDA_NUMBERS", ("/no/such/program",))
    with pytest.raises(DeviceError, match=r"\(CUDA cannot be asked: No such file or directory\)"):
        names("auto", MIXED, CUDA_VISIBLE_DEVICES="0")


class CudaLibrary:
    """The CUDA driver's library with these UUIDs; whatever else is asked of it is not there."""

    def __init__(self, *uuids: bytes, code: int = 0) -> None:
        self._uuids, self._code = uuids, code

    def cuInit(self, flags):
        return self._code

    def cuDeviceGetCount(self, count):
        count._obj.value = len(self._uuids)
        return 0

    def cuDeviceGet(self, device, number):
        device._obj.value = 10 + number
        return 0

    def cuDeviceGetUuid_v2(self, octets, device):
        octets._obj[:] = self._uuids[device.value - 10]
        return 0


def test_the_ids_of_cuda_are_written_as_nvidia_smi_writes_them():
    found = cuda_numbers.ids(CudaLibrary(bytes(range(16)), bytes(range(240, 256))))
    assert found == ["00010203-0405-0607-0809-0a0b0c0d0e0f", "f0f1f2f3-f4f5-f6f7-f8f9-fafbfcfdfeff"]


def test_cuda_without_a_gpu_and_cuda_that_fails():
    assert cuda_numbers.ids(CudaLibrary(code=100)) == []
    with pytest.raises(cuda_numbers.CudaError, match="cuInit failed with error 803"):
        cuda_numbers.ids(CudaLibrary(code=803))


def test_a_machine_without_cuda_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(cuda_numbers, "LIBRARY", "libnothing.so.1")
    assert cuda_numbers.main() == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("libnothing.so.1: ")


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
