"""Whether an error says that memory ran out, and whose: one rule for what Python, torch and CUDA's libraries say."""

from __future__ import annotations

import re
from typing import Literal

Memory = Literal["GPU", "machine"]

MACHINE = re.compile(
    r"can(?:'t|not) allocate memory(?! in static TLS)"  # torch's allocator for CPUs, and the system's ENOMEM
    r"|failed to map segment from shared object(?!: Operation)"  # a library that does not fit; the rest is `noexec`
    r"|std::bad_alloc"
    r"|HOST_ALLOCATION_FAILED"  # cuDNN 9
    r"|(?<!outof)memoryerror",  # Python's own says no more than its name
    re.IGNORECASE,
)
GPU = re.compile(
    r"out[ _]?of[ _]?memory"  # torch, CUDA's runtime and driver, NVRTC, Triton
    r"|alloc(?:ation)?_failed"  # cuBLAS, cuDNN, cuSOLVER, cuFFT
    r"|cudaErrorMemoryAllocation"
    r"|failed with OOM"
    r"|NVML_SUCCESS == .*CUDACachingAllocator",  # which asks NVML only for its message that memory ran out
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether memory did not suffice, of a GPU or of the machine."""
    return lacking_memory(error) is not None


def lacking_memory(error: BaseException) -> Memory | None:
    """Return whose memory did not suffice; None if an error is about something else.

    What the error was raised from counts, too, and what a RuntimeError came after: a GPU that is left in the middle of
    something because memory ran out often fails at the next thing, and that error hides the first one.
    """
    cause: BaseException | None = error
    while cause is not None:
        found = lacking_memory_in(f"{type(cause).__name__}: {cause}")
        if found is not None:
            return found
        hides = isinstance(cause, RuntimeError) and not cause.__suppress_context__
        cause = cause.__cause__ or (cause.__context__ if hides else None)
    return None


def lacking_memory_in(text: str) -> Memory | None:
    """Return whose memory did not suffice according to an error's kind and message, as Python writes them."""
    if MACHINE.search(text):
        return "machine"
    return "GPU" if GPU.search(text) else None
