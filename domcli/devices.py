"""The devices of this machine, seen without torch: GPUs through NVIDIA's management library, CPU cores otherwise.

A GPU is called `cuda:N` with the number that nvidia-smi shows, and given to a trainer by its UUID, so that the name
means the same GPU in every terminal, whatever CUDA_VISIBLE_DEVICES is there.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from domcli.errors import DeviceError
from domcli.limits import read_limits

VISIBLE = "CUDA_VISIBLE_DEVICES"


class Device(msgspec.Struct, frozen=True):
    """Somewhere to train. `visible` is its value for CUDA_VISIBLE_DEVICES, None where that is left as it is."""

    name: str
    visible: str | None = None

    @property
    def is_gpu(self) -> bool:
        return self.name != "cpu"


CPU = Device("cpu")


@dataclass(frozen=True)
class GpuProcess:
    """A process that has memory on a GPU; `memory` in bytes, None where the driver does not tell."""

    pid: int
    memory: int | None


@dataclass(frozen=True)
class Gpu:
    """A GPU as its driver describes it; memory in bytes, `utilization` in percent or None."""

    index: int
    uuid: str
    product: str
    memory_total: int
    memory_used: int
    utilization: int | None
    processes: tuple[GpuProcess, ...]

    @property
    def device(self) -> Device:
        return Device(f"cuda:{self.index}", self.uuid)


def gpus() -> list[Gpu]:
    """Return the GPUs of this machine, none where there is no NVIDIA driver. A GPU that does not answer is left out."""
    with _nvml() as nvml:
        if nvml is None:
            return []
        found = []
        for index in range(nvml.nvmlDeviceGetCount()):
            with contextlib.suppress(nvml.NVMLError):
                found.append(_gpu(nvml, index))
        return found


def driver_version() -> str | None:
    """Return the version of the NVIDIA driver, None where there is none."""
    with _nvml() as nvml:
        return None if nvml is None else _text(nvml.nvmlSystemGetDriverVersion())


def choose(wanted: str, found: Sequence[Gpu], environment: Mapping[str, str] = os.environ) -> tuple[Device, ...]:
    """Return the devices meant by `auto`, `cpu`, `cuda` (every GPU) or a list such as `cuda:0,cuda:2`.

    Of the GPUs found, those that CUDA_VISIBLE_DEVICES hides do not count. Where there is one that the driver does not
    show, `cuda` and `cuda:N` are passed on for torch to decide. Raises DeviceError for a name that is none and for a
    GPU that is not there.
    """
    names = list(dict.fromkeys(part.strip() for part in wanted.split(",")))
    visible = _visible(found, environment.get(VISIBLE))
    if names == ["auto"]:
        return tuple(visible) or (CPU,)
    if not found and any(name.startswith("cuda") for name in names) and not _has_other_gpu():
        raise DeviceError(f"device {wanted!r} is not available: no GPU is found on this machine; use --device cpu")
    if names == ["cuda"]:
        if found and not visible:
            raise DeviceError(f"device 'cuda' is not available: {VISIBLE}={environment.get(VISIBLE)} hides every GPU")
        return tuple(visible) or (Device("cuda"),)
    return tuple(_named(name, found, visible) for name in names)


def cpu_name() -> str:
    """Return the product name of the CPU."""
    return cpu_field("model name") or platform.processor() or platform.machine()


def cpu_field(key: str) -> str:
    """Return a field of the first CPU in /proc/cpuinfo, empty where there is none."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            field, _, value = line.partition(":")
            if field.strip() == key:
                return value.strip()
    return ""


def cpu_count() -> int:
    """Return how many CPU cores a trainer of this machine can keep busy: those allowed, and no more than granted."""
    granted = read_limits().cores
    return affinity() if granted is None else max(1, min(affinity(), round(granted)))


def affinity() -> int:
    """Return on how many CPU cores this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _named(name: str, found: Sequence[Gpu], visible: Sequence[Device]) -> Device:
    kind, colon, number = name.partition(":")
    if name == "cpu":
        return CPU
    if kind != "cuda" or not colon or not number.isdecimal():
        raise DeviceError(f"unknown device {name!r}; it must be auto, cpu, cuda, or GPUs such as cuda:0,cuda:2")
    if not found:
        return Device(f"cuda:{int(number)}")
    for device in visible:
        if device.name == f"cuda:{int(number)}":
            return device
    known = ", ".join(device.name for device in visible) or f"no GPU that {VISIBLE} lets through"
    raise DeviceError(f"device {name!r} is not available: this machine has {known}")


def _visible(found: Sequence[Gpu], allowed: str | None) -> list[Device]:
    """Return the GPUs that CUDA_VISIBLE_DEVICES lets through, all if it is not set; a slice of a GPU goes by its id."""
    everything = [gpu.device for gpu in found]
    if allowed is None or not found:
        return everything
    chosen: list[Device] = []
    for entry in (part.strip() for part in allowed.split(",")):
        if entry.startswith("MIG-"):
            chosen.append(Device(f"cuda:{entry}", entry))
            continue
        fitting = [
            gpu.device for gpu in found if entry == str(gpu.index) or (len(entry) > 4 and gpu.uuid.startswith(entry))
        ]
        if len(fitting) != 1:
            break  # CUDA, too, ignores what comes after an entry that is none
        chosen += fitting
    return list(dict.fromkeys(chosen))


def _has_other_gpu() -> bool:
    """Tell whether there is a GPU that NVIDIA's library may not know of: an embedded one, AMD's, or under Windows."""
    return any(any(Path("/dev").glob(pattern)) for pattern in ("nvidia*", "nvhost*", "kfd", "dxg"))


@contextlib.contextmanager
def _nvml() -> Iterator[Any]:
    """Yield the management library, initialised, or None where it is not there."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # the library may be missing, of another version, or broken: then there is nothing to see
        yield None
        return
    try:
        yield pynvml
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _gpu(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    utilization = None
    with contextlib.suppress(nvml.NVMLError):
        utilization = int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    processes: list[Any] = []
    for query in (nvml.nvmlDeviceGetComputeRunningProcesses, nvml.nvmlDeviceGetGraphicsRunningProcesses):
        with contextlib.suppress(nvml.NVMLError):
            processes += query(handle)
    by_pid = {process.pid: GpuProcess(process.pid, process.usedGpuMemory) for process in processes}
    return Gpu(
        index=index,
        uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
        product=_text(nvml.nvmlDeviceGetName(handle)),
        memory_total=int(memory.total),
        memory_used=int(memory.used),
        utilization=utilization,
        processes=tuple(by_pid.values()),
    )


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
