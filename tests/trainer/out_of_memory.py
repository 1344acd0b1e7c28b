"""What libraries say when memory has run out, word for word, and what sounds like it and is something else."""

from __future__ import annotations

import errno
import os

import numpy as np
import torch

ENOMEM = OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
HINT = (
    "\nSearch for `cudaErrorMemoryAllocation' in https://docs.nvidia.com/cuda/cuda-runtime-api/ for more information."
    "\nCUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be "
    "incorrect."
)


def numpy_error() -> MemoryError:
    """Return the error of NumPy for an array that no machine has room for."""
    try:
        np.empty(1 << 60, np.uint8)
    except MemoryError as error:
        return error
    raise AssertionError("a machine with an exabyte of memory")


def masked() -> RuntimeError:
    """Return the error that a CUDA capture ends with when memory ran out within it."""
    try:
        try:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        finally:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")
    except RuntimeError as error:
        return error


def wrapped() -> Exception:
    """Return an error that was raised from one about memory."""
    try:
        raise ValueError("the backend failed") from RuntimeError("Triton Error [CUDA]: out of memory")
    except ValueError as error:
        return error


def meanwhile() -> Exception:
    """Return a bug that shows while an error about memory is dealt with, and has nothing to do with it."""
    try:
        try:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        except torch.OutOfMemoryError:
            raise KeyError("width")  # noqa: B904
    except KeyError as error:
        return error


def replaced() -> Exception:
    """Return an error that says it does not matter what came before."""
    try:
        try:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        except torch.OutOfMemoryError:
            raise RuntimeError("the network is too wide for this") from None
    except RuntimeError as error:
        return error


GPU: list[Exception] = [
    torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.93 GiB of which 1.05 GiB is "
        "free. Of the allocated memory 5.21 GiB is allocated by PyTorch, and 1.02 GiB is reserved by PyTorch but "
        "unallocated."
    ),
    torch.OutOfMemoryError("Allocation on device 0 would exceed allowed memory. (out of memory)"),
    torch.AcceleratorError("CUDA error: out of memory" + HINT),
    RuntimeError("CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions."),
    RuntimeError("CUDA driver error: out of memory"),
    RuntimeError("CUDA NVRTC error: NVRTC_ERROR_OUT_OF_MEMORY"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"),
    RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
    RuntimeError("Triton Error [CUDA]: out of memory"),
    RuntimeError(
        "NVML_SUCCESS == DriverAPI::get()->nvmlInit_v2_() INTERNAL ASSERT FAILED at "
        '"/pytorch/c10/cuda/CUDACachingAllocator.cpp":1131, please report a bug to PyTorch.'
    ),
    RuntimeError("a kernel could not be launched\nreason: cudaErrorMemoryAllocation"),
    masked(),
    wrapped(),
]
MACHINE: list[Exception] = [
    MemoryError(),
    numpy_error(),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate 4611686018427387904 bytes. Error code 12 (Cannot allocate memory)"
    ),
    RuntimeError("std::bad_alloc"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"),
    ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    RuntimeError("unable to mmap 4096 bytes from file </weights>: Cannot allocate memory (12)"),
    ENOMEM,
]
OTHER: list[Exception] = [
    ImportError("libtorch_cpu.so: failed to map segment from shared object: Operation not permitted"),
    ImportError("libgomp.so.1: cannot allocate memory in static TLS block"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: too many resources requested for launch"),
    RuntimeError("out of resource: shared memory, Required: 147456, Hardware limit: 101376."),
    RuntimeError("CUDA error: operation failed due to a previous error during capture"),
    RuntimeError('NVML_SUCCESS == r INTERNAL ASSERT FAILED at "/pytorch/c10/cuda/PeerToPeerAccess.cpp":83'),
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    meanwhile(),
    replaced(),
]


def name(error: Exception) -> str:
    """Return what to call the test of an error."""
    return f"{type(error).__name__} {str(error).splitlines()[0][:40] if str(error) else ''}"
