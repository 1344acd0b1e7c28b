"""The process that attacks a checkpoint: `python -m domcli.trainer.assess EVALUATION_FOLDER [--device ...]`.

The folder lies in the run's `evaluations/` and holds the plan. Progress, and the reason of a refusal, go to stdout as
JSON lines (domcli.evaluations.progress). It reads the run's settings and the checkpoint, and writes in its own folder.

Exit codes: 0 finished, 1 failed, 2 refused, 3 stopped when asked, or since nobody listens any more.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from domcli import evaluations, extensions, files, locks
from domcli.errors import CheckpointError, DomcliError, ProcessError, StorageError
from domcli.rundir import RunDirectory
from domcli.trainer import torch_environment
from domcli.trainer.failure import explain
from domcli.trainer.stop import StopFlag, StopRequested

FINISHED, FAILED, REFUSED, STOPPED = 0, 1, 2, 3


def main(arguments: list[str] | None = None) -> int:
    """Evaluate what the plan of the folder asks for and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m domcli.trainer.assess", description="Attack a checkpoint.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--shown-as", help="what the GPU is called where it is not the only one")
    options = parser.parse_args(arguments)
    stop = StopFlag()
    stop.install()
    asked = options.folder.absolute()
    run = RunDirectory(asked.parent.parent.resolve())
    folder = run.path / asked.parent.name / asked.name  # a run may be reached through a link, what is in it may not
    try:
        with run.pinned("evaluate"), _sole_process(folder), stop.at_once():
            _evaluate(run, folder, options.device, options.shown_as)
    except (StopRequested, BrokenPipeError):
        return STOPPED
    except DomcliError as error:
        _tell(evaluations.Refusal(str(error)))
        return REFUSED
    except Exception as error:
        traceback.print_exc()
        _tell(evaluations.Refusal(_reason(error)))
        return FAILED
    return FINISHED


def _evaluate(run: RunDirectory, folder: Path, device: str, shown_as: str | None) -> None:
    from domcli.presets import from_run

    plan = evaluations.read_plan(folder)
    content = _weights(plan, run)
    os.environ.update(torch_environment())
    extensions.load(run)
    settings = from_run(run, to_train=True)
    # From here on torch is loaded: seconds, after everything cheap that can be refused has been.
    from domcli.trainer.assess.assessment import assess
    from domcli.trainer.device import keep_freed_memory

    keep_freed_memory()
    assess(folder, plan, settings, content, device, shown_as, _tell)


def _weights(plan: evaluations.Plan, run: RunDirectory) -> bytes:
    """Return the checkpoint as it was when it was asked for. Raises CheckpointError if it is another by now."""
    import hashlib

    path = plan.file(run)
    try:
        content = files.read_bytes(path, files.HUGE)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != plan.digest:
        raise CheckpointError(f"{path} has been replaced since its evaluation was asked for: ask for it again")
    return content


@contextlib.contextmanager
def _sole_process(folder: Path) -> Iterator[None]:
    """Hold the lock of an evaluation. Raises ProcessError if another process is at work on the same one."""
    try:
        lock = files.open_own(folder / "lock", os.O_RDWR)
    except OSError as error:
        raise StorageError(f"cannot write in {folder}: {error.strerror}") from error
    try:
        if not locks.try_lock(lock):
            raise ProcessError(f"another process is at work on this evaluation ({folder})")
        yield
    finally:
        os.close(lock)


def _reason(error: Exception) -> str:
    """Return why an evaluation failed, in a sentence."""
    failed = explain(error, training=False)
    if failed.cause == "out-of-memory":
        return "memory does not suffice even for one image at a time: free memory, and give the same command again"
    return f"{type(error).__name__}: {error}" if failed.cause == "error" else failed.reason


def _tell(said: evaluations.Said) -> None:
    sys.stdout.buffer.write(evaluations.encode(said))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    code = main()
    # Everything is written and closed; taking torch apart would take another second, and the device waits for it.
    os._exit(code)
