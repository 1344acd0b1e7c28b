"""The real trainer where the recording of steps with DOM breaks off: on a GPU in earnest, on a CPU by a stand-in.

    python trainer_with_broken_recording.py READY RUN_DIRECTORY ...

If READY is the name of a pipe, the trainer waits for a reader there before the recording breaks off. With "refused" it
does not break off: PyTorch refuses by itself what CUDA would forbid.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from domcli.trainer.__main__ import main
from domcli.trainer.anew import BrokenRecording

WHY = "CUDA error: operation not permitted when stream is capturing"


def breaking(training: Any, known: Any, *, without_graphs: str | None) -> Any:
    """Return an engine that breaks off when DOM begins to act."""
    from domcli.trainer.fast import engine_for
    from domcli.trainer.fast.recorded import RecordingEngine, unrecorded

    if without_graphs is not None:
        return engine_for(training, known, without_graphs=without_graphs)
    if training.device.type == "cuda":
        engine = engine_for(training, known)
        assert isinstance(engine, RecordingEngine)
    else:
        engine = RecordingEngine(training, unrecorded)
    run = engine.run

    def run_waiting(kind: Any, stage: Any, *inputs: Any) -> Any:
        def work(*values: Any) -> Any:
            found = stage(*values)
            if training.device.type == "cuda":
                sums = training.meter.sums
                # The first is refused before CUDA hears of it; the second makes the host wait, and breaks it off.
                sums.tolist() if ready.name == "refused" else sums.sum().item()
                return found
            wait_for_reader()
            raise BrokenRecording(WHY)

        return run(kind, work if kind == ("learn", True) else stage, *inputs)

    engine.run = run_waiting  # type: ignore[method-assign]
    return engine


def wait_for_reader() -> None:
    """Write to the pipe, which blocks until somebody reads."""
    if ready.is_fifo():
        ready.write_text("about to break off")


if __name__ == "__main__":
    ready = Path(sys.argv[1])
    from domcli.trainer import loop

    loop.engine_for = breaking  # type: ignore[attr-defined]
    sys.exit(main(sys.argv[2:]))
