"""Trains runs, each in a process of its own that ends at one point of writing a checkpoint as if it were killed.

    python trainer_killed_at_points.py RUNS_DIRECTORY

Where each ends, the name of its run says, `best-2-renamed` for example: at the second `best`, between its renaming
and the event that tells of it. `copied` is before anything is written, `half` in the middle of the file, `synced`
before its renaming, `told` after the next event.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tiny
import torch

from domcli.events import EpochEnd
from domcli.rundir import RunDirectory
from domcli.stream import EventWriter
from domcli.trainer import checkpoint, loop

KILLED = 99
ACCURACIES = (0.2, 0.1, 0.4, 0.3, 0.5)


def chosen_accuracy(end: EpochEnd) -> float:
    """Return what `best` is chosen on, the same with every version of PyTorch: the first, third and fifth are best."""
    return ACCURACIES[end.epoch - 1]


class Killer:
    """Looks on as a trainer writes checkpoints, and ends the process at the chosen point."""

    def __init__(self, label: str, number: int, stage: str) -> None:
        self._label, self._number, self._stage = label, number, stage
        self._seen = 0
        self._current: str | None = None

    def reached(self, stage: str) -> None:
        if self._current == self._label and self._seen == self._number and stage == self._stage:
            os._exit(KILLED)

    def install(self) -> None:
        write, pieces, rename, tell = checkpoint._write, checkpoint._pieces, os.rename, EventWriter.write

        def watched_write(path: Path, tensors: Any, about: Any) -> None:
            self._current = path.stem
            self._seen += path.stem == self._label
            self.reached("copied")
            write(path, tensors, about)
            self.reached("renamed")

        def watched_pieces(tensors: Any, about: Any) -> Iterator[Any]:
            for number, piece in enumerate(pieces(tensors, about)):
                if number == len(tensors) // 2:
                    self.reached("half")
                yield piece

        def watched_rename(source: Any, target: Any, **folders: int) -> None:
            if str(target).endswith(".safetensors"):
                self.reached("synced")
            rename(source, target, **folders)

        def watched_tell(writer: EventWriter, event: Any) -> Any:
            told = tell(writer, event)
            self.reached("told")
            return told

        checkpoint._write, checkpoint._pieces = watched_write, watched_pieces
        os.rename, EventWriter.write = watched_rename, watched_tell


def train(run: RunDirectory) -> None:
    label, number, stage = run.name.split("-")
    loop.headline_accuracy = chosen_accuracy
    Killer(label, int(number), stage).install()
    tiny.train_here(run)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for folder in sorted(Path(sys.argv[1]).iterdir()):
        child = os.fork()
        if child == 0:
            train(RunDirectory(folder))
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code == KILLED, f"{folder.name} ended with {code}"
