"""The GPUs, the CPU and the memory of this machine, and what a container or a batch system leaves of them."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from domcli import devices
from domcli.checks.check import Check, gib, guarded, plural
from domcli.cores import in_the_way
from domcli.devices import VISIBLE, Gpu, GpuProcess
from domcli.errors import DeviceError
from domcli.events import BusyCores
from domcli.limits import Limits

FULL = 0.9
"""A GPU with more of its memory in use is hardly good for another run."""
LITTLE_MEMORY = 4 * 2**30
"""A trainer on a CPU holds PyTorch, the data set and the activations of a batch; with less it may be killed."""
COMMAND_CHARACTERS = 60
NVIDIA, DISPLAY = "0x10de", "0x03"
"""Vendor and class of a GPU on the PCI bus."""


def visible_gpus(found: Sequence[Gpu], environment: Mapping[str, str]) -> list[str]:
    """Return the names of the GPUs that CUDA_VISIBLE_DEVICES lets through. Raises DeviceError if it cannot be told."""
    return [device.name for device in devices.choose("auto", found, environment) if device.is_gpu]


def gpu_checks(
    found: Sequence[Gpu],
    driver: str | None,
    environment: Mapping[str, str],
    trainers: Mapping[int, str],
    sysfs: Path = Path("/sys"),
) -> list[Check]:
    """Check every GPU; `trainers` are the runs by the process id of their trainer."""
    if not found:
        return [_no_gpu(driver, sysfs)]
    checks = [Check("driver", "ok", f"NVIDIA driver {driver}", None, {"version": driver})]
    return checks + _visible(found, environment) + [_gpu(gpu, trainers) for gpu in found]


def cpu_checks(limits: Limits, busy: Callable[[], BusyCores | None]) -> list[Check]:
    """Check the cores and the memory that a trainer has here; `busy` tells what others use of the cores."""
    cores = devices.affinity()
    has_amx = "amx_bf16" in devices.cpu_field("flags").split()
    all_cores = os.cpu_count() or cores
    return [
        *guarded("cpu", lambda: cpu(devices.cpu_name(), cores, all_cores, has_amx, limits)),
        *guarded("load", lambda: load(busy())),
        *guarded("memory", lambda: ram(psutil.virtual_memory(), limits)),
    ]


def cpu(name: str, cores: int, all_cores: int, has_amx: bool, limits: Limits) -> Check:
    """Check the cores this process may use."""
    of = f" of {all_cores}" if all_cores != cores else ""
    arithmetic = "bfloat16 (AMX)" if has_amx else "float32"
    text = f"{name}, {plural(cores, 'core')}{of}, trains in {arithmetic}"
    details = {"cores": cores, "all_cores": all_cores, "amx": has_amx, "limit": limits.cores}
    if limits.cores is not None and limits.cores < cores:
        text = f"{text}, limited to {limits.cores:g} by a control group"
    return Check("cpu", "ok", text, None, details)


def load(busy: BusyCores | None) -> list[Check]:
    """Check whether others leave the cores to a trainer; nothing is said where that cannot be told."""
    if busy is None:
        return []
    details = {"busy": busy.busy, "cores": busy.cores}
    if in_the_way(busy, busy.cores) is None:
        return [Check("load", "ok", "other programs leave the cores free", None, details)]
    remedy = "top shows which; a run that starts now trains on what they leave, the slower the more they use"
    return [Check("load", "warning", str(busy), remedy, details)]


def ram(memory: psutil._common.svmem, limits: Limits) -> Check:
    """Check the memory that is left."""
    total, available, of = memory.total, memory.available, ""
    if limits.memory is not None and limits.memory < total:
        total, of = limits.memory, " that a control group allows"
        available = min(available, max(0, total - (limits.memory_used or 0)))
    text = f"{gib(available)} available of {gib(total)}{of}"
    details = {"available": available, "total": total, "limit": limits.memory}
    if available < LITTLE_MEMORY:
        remedy = (
            f"a run of full width on the CPU wants about {gib(LITTLE_MEMORY)}: end other programs, or run one at a time"
        )
        return Check("memory", "warning", text, remedy, details)
    return Check("memory", "ok", text, None, details)


def user_of(process: GpuProcess, trainers: Mapping[int, str]) -> tuple[str, dict[str, object]]:
    """Return a line and the facts about a process on a GPU; others' processes and those outside a container hide."""
    user, command = None, None
    with contextlib.suppress(psutil.Error, KeyError):
        known = psutil.Process(process.pid)
        user = known.username()
        command = shlex.join(known.cmdline()) or known.name()
    run = trainers.get(process.pid)
    what = f"run {run}" if run else (command or "a process that cannot be seen from here")
    if len(what) > COMMAND_CHARACTERS:
        what = what[: COMMAND_CHARACTERS - 3] + "..."
    memory = "" if process.memory is None else f", {gib(process.memory)}"
    line = f"{what} (pid {process.pid}{f' of {user}' if user else ''}{memory})"
    facts = {"pid": process.pid, "user": user, "command": command, "memory": process.memory, "run": run}
    return line, facts


def _visible(found: Sequence[Gpu], environment: Mapping[str, str]) -> list[Check]:
    """Return what there is to say of CUDA_VISIBLE_DEVICES."""
    try:
        visible = visible_gpus(found, environment)
    except DeviceError as error:
        what, _, mend = str(error).rpartition("; ")
        return [Check("visible", "problem", what, mend)]
    hidden = [gpu.device.name for gpu in found if gpu.device.name not in visible]
    if not hidden or any(name.startswith("cuda:MIG-") for name in visible):
        return []
    how = devices.counting(found, environment)
    text = f"{VISIBLE}={environment.get(VISIBLE)} hides {', '.join(hidden)}{f' ({how})' if how else ''}"
    remedy = None if visible else f"to train on a GPU: unset {VISIBLE}"
    return [Check("visible", "ok" if visible else "warning", text, remedy, {"visible": visible})]


def _no_gpu(driver: str | None, sysfs: Path) -> Check:
    if _has_nvidia_hardware(sysfs):
        text = f"there is an NVIDIA GPU, but {'its driver' if driver is None else 'it'} does not answer"
        remedy = (
            "install or load the NVIDIA driver until nvidia-smi lists the GPU; in a container, pass it in (--gpus all)"
        )
        return Check("gpu", "warning", text, remedy)
    return Check("gpu", "ok", "no NVIDIA GPU: runs train on the CPU, where --quick is good for a first look")


def _has_nvidia_hardware(sysfs: Path) -> bool:
    for folder in sysfs.glob("bus/pci/devices/*"):
        with contextlib.suppress(OSError):
            vendor, kind = (folder / "vendor").read_text().strip(), (folder / "class").read_text().strip()
            if vendor == NVIDIA and kind.startswith(DISPLAY):
                return True
    return False


def _gpu(gpu: Gpu, trainers: Mapping[int, str]) -> Check:
    users = [user_of(process, trainers) for process in gpu.processes]
    load = "" if gpu.utilization is None else f", {gpu.utilization} % busy"
    text = f"{gpu.product}, {gib(gpu.memory_used)} of {gib(gpu.memory_total)} in use{load}"
    lines = [text, *(line for line, _ in users)]
    details = {
        "uuid": gpu.uuid,
        "product": gpu.product,
        "memory_used": gpu.memory_used,
        "memory_total": gpu.memory_total,
        "utilization": gpu.utilization,
        "processes": [facts for _, facts in users],
    }
    if gpu.memory_used > FULL * gpu.memory_total:
        remedy = "little memory is left there: wait, or choose other GPUs with --devices"
        return Check(gpu.device.name, "warning", "\n".join(lines), remedy, details)
    return Check(gpu.device.name, "ok", "\n".join(lines), None, details)
