"""Where the network runs and with which arithmetic."""

from __future__ import annotations

import contextlib
import ctypes
import platform
import resource
from typing import Any, Literal

import torch
from torch.torch_version import TorchVersion

from domcli.devices import cpu_field, cpu_name
from domcli.errors import DeviceError
from domcli.plural import counted
from domcli.printable import quoted

SINGLE_THREAD_WORK = 1 / 64
"""Steps of less work run on one thread (see limit_threads)."""
GLIBC_TOP_PAD, GLIBC_TRIM_THRESHOLD, GLIBC_MMAP_MAX = -2, -1, -4


def select_device(wanted: str) -> torch.device:
    """Return the device for `auto`, `cpu`, `cuda` or `cuda:N`. Raises DeviceError if it is not on this machine."""
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cpu":
        return torch.device("cpu")
    kind, _, number = wanted.partition(":")
    if kind != "cuda" or (number and not number.isdigit()):
        raise DeviceError(f"unknown device {quoted(wanted)}; it must be auto, cpu, cuda or cuda:N")
    if not torch.cuda.is_available():
        reason = "found no usable GPU and driver" if torch.version.cuda else "was built without CUDA"
        raise DeviceError(
            f"device {quoted(wanted)} is not available: PyTorch {torch.__version__} {reason}; use --device cpu"
        )
    index = int(number or 0)
    if index >= torch.cuda.device_count():
        raise DeviceError(
            f"device {quoted(wanted)} is not available: this machine has {counted(torch.cuda.device_count(), 'GPU')}"
        )
    return torch.device("cuda", index)


def prepare(device: torch.device) -> None:
    """Make the same settings give the same numbers, and let float32 be float32 (no TF32)."""
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_flush_denormal(True)
    # use_deterministic_algorithms means the same, but also tells torch's compiler, and loads it for that: two seconds.
    torch.set_deterministic_debug_mode("warn")
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.cuda.reset_peak_memory_stats(device)


def keep_freed_memory() -> None:
    """Have glibc keep freed memory instead of giving it back to the kernel after every large tensor.

    On a CPU, activations of some 16 MB are allocated and freed at every layer; fetching fresh zeroed pages for each
    costs about a third of the step.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        for option, value in ((GLIBC_MMAP_MAX, 0), (GLIBC_TRIM_THRESHOLD, -1), (GLIBC_TOP_PAD, 64 << 20)):
            libc.mallopt(option, value)


def limit_threads(work: float) -> None:
    """Let a network of little work run on one CPU thread; `work` is a step's, 1 for the paper's network and batch.

    Threads that meet after every small operation gain nothing, and wait for each other without end where another
    program wants a core. The choice depends on the settings alone: another number of threads would round differently.
    """
    if work < SINGLE_THREAD_WORK:
        torch.set_num_threads(1)


def resolve_precision(wanted: Literal["auto", "float32", "bfloat16"], device: torch.device) -> torch.dtype:
    """Return the arithmetic of the network; `auto` takes bfloat16 on CUDA and on CPUs with AMX."""
    if wanted == "float32" or (wanted == "auto" and not _is_fast_at_bfloat16(device)):
        return torch.float32
    return torch.bfloat16


def autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    """Return the context in which networks run. Within one, each weight is converted once, not once a pass."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == torch.bfloat16)


def forget_converted_weights() -> None:
    """Have the passes that follow convert weights anew, where those converted already would get no gradients.

    Before 2.11, PyTorch takes weights that were converted in a pass without gradients for one with gradients, too.
    """
    if TorchVersion(torch.__version__) < "2.11":
        torch.clear_autocast_cache()


def peak_memory(device: torch.device) -> int:
    """Return the highest memory use so far in bytes: of the device on CUDA, of this process on CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def wait_for(device: torch.device) -> None:
    """Wait until the device has done everything that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def describe(device: torch.device) -> dict[str, Any]:
    """Return what environment.json says of the device and the libraries that compute on it."""
    found: dict[str, Any] = {
        "torch": str(torch.__version__),
        "device": str(device),
        "device_name": name(device),
        "threads": torch.get_num_threads(),
    }
    if device.type == "cuda":
        found["cuda"] = torch.version.cuda
        found["cudnn"] = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        found["device_memory"] = torch.cuda.get_device_properties(device).total_memory
    return found


def name(device: torch.device) -> str:
    """Return the product name of the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return cpu_name()


def _is_fast_at_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return "amx_bf16" in cpu_field("flags").split()
