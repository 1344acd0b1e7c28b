"""The trainer process: the only package that imports torch. `python -m domcli.trainer RUN_DIRECTORY`."""

from __future__ import annotations

import os

from domcli.cachedir import code_directory

TORCH_ENVIRONMENT = {"THP_MEM_ALLOC_ENABLE": "1", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
"""Read by torch when it is loaded: large memory pages on CPU, reproducible matrix products on CUDA."""
COMPILERS = {"TORCHINDUCTOR_CACHE_DIR": "inductor", "TRITON_CACHE_DIR": "triton"}
"""Where torch's compilers keep what they have compiled, which would be lost with /tmp; they make these folders."""


def torch_environment() -> dict[str, str]:
    """Return the environment variables to set before torch is loaded: those that the user has not set."""
    kept = code_directory("compiled-code")
    folders = {} if kept is None else {variable: str(kept / name) for variable, name in COMPILERS.items()}
    return {key: value for key, value in {**TORCH_ENVIRONMENT, **folders}.items() if key not in os.environ}
