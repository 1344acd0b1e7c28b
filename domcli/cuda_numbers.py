"""How CUDA numbers the GPUs of a machine: `python cuda_numbers.py` writes their ids, one a line, number 0 first.

Run as a script, by itself: the driver is loaded in a process that ends with it, without torch. No context is made, so
nothing of a GPU's memory is taken. Exit code 1, with the reason on stderr, if CUDA does not answer.
"""

from __future__ import annotations

import ctypes
import sys
import uuid
from typing import Any

LIBRARY = "libcuda.so.1"
NO_DEVICE = 100
"""What CUDA answers where there is no GPU for it."""


class CudaError(Exception):
    """CUDA does not answer; the message says what it said instead."""


def ids(cuda: Any) -> list[str]:
    """Return the UUIDs of the devices in CUDA's order: of a GPU, or of the slice of one that CUDA takes for it.

    `cuda` is the driver's library. Raises CudaError.
    """
    code = cuda.cuInit(0)
    if code == NO_DEVICE:
        return []
    _check("cuInit", code)
    count = ctypes.c_int()
    _check("cuDeviceGetCount", cuda.cuDeviceGetCount(ctypes.byref(count)))
    found = []
    for number in range(count.value):
        device, octets = ctypes.c_int(), (ctypes.c_ubyte * 16)()
        _check("cuDeviceGet", cuda.cuDeviceGet(ctypes.byref(device), number))
        _check("cuDeviceGetUuid", cuda.cuDeviceGetUuid_v2(ctypes.byref(octets), device))
        found.append(str(uuid.UUID(bytes=bytes(octets))))
    return found


def main() -> int:
    """Write the ids and return the exit code."""
    try:
        found = ids(ctypes.CDLL(LIBRARY))
    except (OSError, AttributeError, CudaError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("".join(f"{one}\n" for one in found))
    return 0


def _check(call: str, code: int) -> None:
    if code:
        raise CudaError(f"{call} failed with error {code}")


if __name__ == "__main__":
    sys.exit(main())
