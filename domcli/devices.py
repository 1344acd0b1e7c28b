"""The devices of this machine, seen without torch: GPUs through NVIDIA's management library, CPU cores otherwise.

A GPU is called `cuda:N` with the number that nvidia-smi shows, and given to a trainer by its UUID, so that the name
means the same GPU in every terminal, whatever CUDA_VISIBLE_DEVICES is there. A number in that variable is CUDA's, which
may be another one: see `_numbers`.
"""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from domcli.errors import DeviceError
from domcli.limits import read_limits
from domcli.printable import quoted

VISIBLE = "CUDA_VISIBLE_DEVICES"
ORDER, BY_BUS = "CUDA_DEVICE_ORDER", "PCI_BUS_ID"
CUDA_NUMBERS = (sys.executable, "-I", "-S", str(Path(__file__).with_name("cuda_numbers.py")))
CUDA_SECONDS = 30.0
"""How long CUDA may take to number the GPUs: a driver that is not kept loaded initialises every one of them."""


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
    show, `cuda` and `cuda:N` are passed on for torch to decide. Raises DeviceError for a name that is none, for a GPU
    that is not there, and where it cannot be told which GPUs the variable hides.
    """
    names = list(dict.fromkeys(part.strip() for part in wanted.split(",")))
    asks_for_gpu = names == ["auto"] or any(name.startswith("cuda") for name in names)
    visible = _visible(found, environment) if asks_for_gpu else []
    if names == ["auto"]:
        return tuple(visible) or (CPU,)
    if not found and any(name.startswith("cuda") for name in names) and not _has_other_gpu():
        raise DeviceError(
            f"device {quoted(wanted)} is not available: no GPU is found on this machine; use --device cpu"
        )
    if names == ["cuda"]:
        if found and not visible:
            raise DeviceError(f"device 'cuda' is not available: {VISIBLE}={environment.get(VISIBLE)} hides every GPU")
        return tuple(visible) or (Device("cuda"),)
    return tuple(_named(name, found, visible, environment) for name in names)


def counting(found: Sequence[Gpu], environment: Mapping[str, str]) -> str:
    """Return a sentence on numbers in CUDA_VISIBLE_DEVICES where they may not be nvidia-smi's, empty elsewhere."""
    if not _has_numbers(environment) or _counts_by_bus(found, environment):
        return ""
    return f"cuda:N is nvidia-smi's number, in {VISIBLE} CUDA counts the fastest GPU first"


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


def _named(name: str, found: Sequence[Gpu], visible: Sequence[Device], environment: Mapping[str, str]) -> Device:
    kind, colon, number = name.partition(":")
    if name == "cpu":
        return CPU
    if kind != "cuda" or not colon or not number.isdecimal():
        raise DeviceError(f"unknown device {quoted(name)}; it must be auto, cpu, cuda, or GPUs such as cuda:0,cuda:2")
    if not found:
        return Device(f"cuda:{int(number)}")
    for device in visible:
        if device.name == f"cuda:{int(number)}":
            return device
    known = ", ".join(device.name for device in visible) or f"no GPU that {VISIBLE} lets through"
    why = counting(found, environment)
    raise DeviceError(f"device {quoted(name)} is not available: this machine has {known}{f' ({why})' if why else ''}")


def _visible(found: Sequence[Gpu], environment: Mapping[str, str]) -> list[Device]:
    """Return the GPUs that CUDA_VISIBLE_DEVICES lets through, all if it is not set; a slice of a GPU goes by its id.

    Raises DeviceError if that cannot be told.
    """
    if VISIBLE not in environment or not found:
        return [gpu.device for gpu in found]
    numbers = _numbers(found, environment) if _has_numbers(environment) else {}
    chosen: list[Device] = []
    for entry in _entries(environment):
        device = _meant(entry, found, numbers)
        if device is None:
            break  # CUDA, too, ignores what comes after an entry that is none
        chosen.append(device)
    return list(dict.fromkeys(chosen))


def _meant(entry: str, found: Sequence[Gpu], numbers: Mapping[int, Device]) -> Device | None:
    """Return the device that an entry of CUDA_VISIBLE_DEVICES means: a number, a UUID or the beginning of one."""
    if entry.startswith("MIG-"):
        return Device(f"cuda:{entry}", entry)
    if _is_number(entry):
        return numbers.get(int(entry))
    fitting = [gpu.device for gpu in found if len(entry) > 4 and gpu.uuid.startswith(entry)]
    return fitting[0] if len(fitting) == 1 else None


def _entries(environment: Mapping[str, str]) -> list[str]:
    return [part.strip() for part in environment.get(VISIBLE, "").split(",")]


def _is_number(entry: str) -> bool:
    return entry.isascii() and entry.isdecimal()


def _has_numbers(environment: Mapping[str, str]) -> bool:
    return any(map(_is_number, _entries(environment)))


def _counts_by_bus(found: Sequence[Gpu], environment: Mapping[str, str]) -> bool:
    """Tell whether CUDA numbers the GPUs as nvidia-smi does.

    By itself it puts the fastest first, and NVIDIA leaves open how it ranks them; GPUs of one product rank the same,
    and stay in the order of the bus.
    """
    return environment.get(ORDER) == BY_BUS or len({gpu.product for gpu in found}) < 2


def _numbers(found: Sequence[Gpu], environment: Mapping[str, str]) -> dict[int, Device]:
    """Return the devices by CUDA's numbers for them. Raises DeviceError if these cannot be told."""
    if _counts_by_bus(found, environment):
        return {gpu.index: gpu.device for gpu in found}
    known = {gpu.uuid: gpu.device for gpu in found}
    ids = _ids_in_cuda_order(environment)
    # An id that no GPU has is that of a slice.
    return {n: known.get(f"GPU-{one}") or Device(f"cuda:MIG-{one}", f"MIG-{one}") for n, one in enumerate(ids)}


def _ids_in_cuda_order(environment: Mapping[str, str]) -> list[str]:
    """Ask CUDA, in a process of its own, for it keeps what it finds when it is first loaded. Raises DeviceError."""
    everything = {name: value for name, value in environment.items() if name != VISIBLE}
    try:
        process = subprocess.Popen(
            CUDA_NUMBERS,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=everything,
        )
        out, err = process.communicate(timeout=CUDA_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()  # and not waited for: a process that hangs in a driver may not end
        problem = f"CUDA does not answer within {CUDA_SECONDS:.0f} s"
    except OSError as error:
        problem = f"CUDA cannot be asked: {error.strerror}"
    else:
        if process.returncode == 0:
            return out.split()
        problem = " ".join(err.split()[-20:]) or f"CUDA cannot be asked: exit code {process.returncode}"
    raise DeviceError(
        f"{VISIBLE}={environment.get(VISIBLE)}: which GPUs these numbers mean cannot be told ({problem}); give ids in "
        f"their place, as nvidia-smi -L shows them, or set {ORDER}={BY_BUS} to have nvidia-smi's numbers"
    )


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
