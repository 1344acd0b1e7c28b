"""Whole rows of the paper's tables within a time budget: `bash benchmarks/gpu/reproduce.sh --help`.

Runs are queued by `domcli run` and `domcli resume`, and stopped by `domcli stop` when the budget is over; called again,
the program goes on with what is missing. Exit codes: 0 all that was asked for is finished, 1 a run failed, 2 bad usage
or settings, or a folder that cannot be written, 3 the budget is over, or SIGTERM came, and something is missing, 130
Ctrl-C.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from images import unpack
from reproduce_plan import ROWS, START_SECONDS, Wanted
from reproduce_session import CHECKOUT, CLOSING_SECONDS, INTERRUPTED, MISSING, Frame, Session

from domcli import presets
from domcli.errors import DeviceError, DomcliError, SettingsError, StorageError
from domcli.launch import queue
from domcli.launch.order import parse_seeds
from domcli.sharing import choice

LEAST_BUDGET = CLOSING_SECONDS + START_SECONDS
"""Seconds; with no more than these nothing is ever trained."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return the exit code."""
    options = _parse(arguments)
    # The commands and trainers that are started need the same checkout, from whatever folder.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
    if options.cpu:
        os.environ["DOMCLI_PLAIN"] = "1"
    signal.signal(signal.SIGTERM, _leave)
    try:
        wanted = Wanted(
            rows=_rows(options.rows),
            seeds=tuple(parse_seeds(options.seeds)),
            root=str(options.data or "data"),
            jpeg=options.images is not None,
            shorten=options.shorten,
            cpu=options.cpu,
        )
        jobs = _jobs(options.together, wanted)
        for folder in (options.output, options.runs, options.runs.parent):
            _make_writable(folder)
        if wanted.unpacked:
            wanted = _with_images(wanted, options)
        frame = Frame(options.began, options.budget, options.runs, options.output)
        session = Session(frame, wanted, jobs)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, session.ask_to_stop)
        return session.run()
    except DomcliError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: cannot write {error.filename or options.output}: {error.strerror}", file=sys.stderr)
        return StorageError.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="reproduce.sh", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--output", type=Path, default=Path("reproduction"), metavar="FOLDER", help="for the results")
    parser.add_argument("--runs", type=Path, metavar="FOLDER", help="the runs directory (default: runs in the output)")
    parser.add_argument("--images", type=Path, metavar="ARCHIVE", help="CIFAR-10 as a tar of train|test/CLASS/*.jpg")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="where CIFAR-10 lies or is downloaded to, without "
                        "--images (default: data beside the runs)")  # fmt: skip
    parser.add_argument("--rows", default=",".join(ROWS), help="which rows (default: %(default)s)")
    parser.add_argument("--seeds", default="0", help="such as 0,1,2 (default: 0)")
    parser.add_argument("--budget", type=float, default=540.0, metavar="SECONDS", help="(default: 540); more than "
                        f"{LEAST_BUDGET:.0f}: {CLOSING_SECONDS:.0f} are kept for closing, and a start takes about "
                        f"{START_SECONDS:.0f}")  # fmt: skip
    parser.add_argument("--shorten", type=int, metavar="F", help="divide the epochs of every row by F, of PGD, too "
                        "(default: PGD by 8, the others not at all)")  # fmt: skip
    parser.add_argument("--together", default=choice.AUTO, metavar="N|auto", help="how many runs share a GPU; auto: "
                        "what `domcli bench --together` has found best, else one")  # fmt: skip
    parser.add_argument("--cpu", action="store_true", help="try the program out at a tiny size, on made-up images")
    options = parser.parse_args(arguments, argparse.Namespace(began=time.monotonic()))
    if options.shorten is not None and (options.shorten < 1 or options.cpu):
        parser.error("--shorten is a whole number, 1 or more, and does not go with --cpu")
    if not LEAST_BUDGET < options.budget < math.inf:
        parser.error(f"--budget must be a number of seconds, more than {LEAST_BUDGET:.0f}: {CLOSING_SECONDS:.0f} are "
                     f"kept for closing, and a start takes about {START_SECONDS:.0f}")  # fmt: skip
    if options.images is not None and not options.images.is_file():
        parser.error(f"--images {options.images}: there is no such archive")
    if options.data is not None and (options.images is not None or options.cpu):
        parser.error("--data is for the published images: it goes neither with --images nor with --cpu")
    options.output = options.output.absolute()
    options.runs = (options.runs or options.output / "runs").absolute()
    options.data = options.data and options.data.absolute()
    return options


def _leave(_number: int, _frame: object) -> NoReturn:
    """Take SIGTERM for the end of the budget while there is no trainer to be stopped yet."""
    sys.exit(MISSING)


def _make_writable(folder: Path) -> None:
    """Make a folder, unless it is there. Raises StorageError if nothing can be written there: before any training."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StorageError(f"cannot write {folder}: {error.strerror}") from error


def _rows(text: str) -> tuple[str, ...]:
    asked = [part.strip() for part in text.split(",")]
    unknown = [row for row in asked if row not in ROWS]
    if unknown:
        raise SettingsError(f"--rows {text}: there is no row {unknown[0]!r}; the rows are {', '.join(ROWS)}")
    return tuple(row for row in ROWS if row in asked)


def _jobs(together: str, wanted: Wanted) -> dict[str, int]:
    """Return how many runs of each row share a device. Raises DeviceError where there is no GPU."""
    given = choice.parse(together, "--together")
    try:
        automatic = choice.Automatic(queue.choose_devices("cpu" if wanted.cpu else "cuda"))
    except DeviceError as error:
        raise DeviceError(f"{str(error).partition(';')[0]}; --cpu tries the program out without one") from error
    # What was measured is known by the paper's data set; these images have the same size.
    return {row: given or automatic.jobs(presets.resolve(f"{row}-baseline")) for row in wanted.rows}


def _with_images(wanted: Wanted, options: argparse.Namespace) -> Wanted:
    """Unpack the images beside the runs, once; their folder has the archive's name, so that others are told apart."""
    beside = options.runs.parent
    archive = options.images or make_archive(beside / "tiny.tar")
    root = unpack(archive, beside / archive.name.partition(".")[0])
    return replace(wanted, root=os.path.relpath(root, beside))


def make_archive(archive: Path) -> Path:
    """Write an archive of a few images of noise in two classes, one darker than the other, unless it is there."""
    import io
    import tarfile

    import numpy as np
    from PIL import Image

    if archive.exists():
        return archive
    draws, aside = np.random.default_rng(0), archive.with_name(f".{archive.name}")
    with tarfile.open(aside, "w") as tar:
        for split, images in (("train", 24), ("test", 8)):
            for number in range(2 * images):
                pixels = draws.integers(0, 128 + 127 * (number % 2), (32, 32, 3), dtype=np.uint8)
                buffer = io.BytesIO()
                Image.fromarray(pixels).save(buffer, "jpeg")
                entry = tarfile.TarInfo(f"{split}/class{number % 2}/{number:04}.jpg")
                entry.size = buffer.tell()
                buffer.seek(0)
                tar.addfile(entry, buffer)
    return aside.rename(archive)


if __name__ == "__main__":
    sys.exit(main())
