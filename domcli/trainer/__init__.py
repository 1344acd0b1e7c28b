"""The trainer process: the only package that imports torch. `python -m domcli.trainer RUN_DIRECTORY`."""

TORCH_ENVIRONMENT = {"THP_MEM_ALLOC_ENABLE": "1", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
"""Read by torch when it is loaded: large memory pages on CPU, reproducible matrix products on CUDA."""
