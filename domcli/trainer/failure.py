"""From an exception to the closing event: what kind of failure it was, in one sentence a person can act on."""

from __future__ import annotations

import errno
import resource

from domcli.errors import DomcliError, NonFiniteLossError, StorageError
from domcli.events import Failed
from domcli.extensions import place_in
from domcli.memory import Memory, lacking_memory

STORAGE = {
    errno.ENOSPC: "the disk is full; make room, then resume",
    errno.EDQUOT: "the disk quota is used up; make room, then resume",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "writing is not permitted",
}
OWN_COPY = "mend it, then start a new run: this one keeps the copy that it was made with"
"""Of an extension."""
LESS_MEMORY = "lower train.batch_size or model.width, or free memory, then resume"


def explain(error: BaseException, *, training: bool) -> Failed:
    """Return the closing event for an exception; `training` is whether the run had started before it came."""
    if isinstance(error, NonFiniteLossError):
        return Failed(cause="non-finite-loss", reason=str(error))
    if isinstance(error, StorageError):
        return Failed(cause="storage", reason=str(error))
    if isinstance(error, DomcliError):
        return Failed(cause="error" if training else "refused", reason=str(error))
    if isinstance(error, OSError) and error.errno in STORAGE:
        where = f" ({error.filename})" if error.filename else ""
        return Failed(cause="storage", reason=f"cannot write{where}: {STORAGE[error.errno]}")
    return _explain_torch(error)


def _explain_torch(error: BaseException) -> Failed:
    memory = lacking_memory(error)
    if memory is not None:
        return Failed(cause="out-of-memory", reason=f"the {memory} ran out of memory{_limit(memory)}; {LESS_MEMORY}")
    message = str(error).strip()
    text = message.split("\n")[0]
    if "CUDA error" in message or "CUDA driver error" in message:
        return Failed(cause="device", reason=f"the GPU failed ({text}); check it with nvidia-smi, then resume")
    extension = place_in(error)
    if extension is not None:
        return Failed(cause="error", reason=f"{type(error).__name__}: {text} ({extension}; {OWN_COPY})")
    return Failed(cause="error", reason=f"{type(error).__name__}: {text} (unexpected; the traceback is in trainer.log)")


def _limit(memory: Memory) -> str:
    """Return how much memory this process may use, where somebody has set a limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    given = memory == "machine" and limit != resource.RLIM_INFINITY
    return f" (a limit of {limit / 1e9:.1f} GB is set for the process: see ulimit -v)" if given else ""
