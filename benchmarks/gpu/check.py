"""Is the trainer right on this machine's GPU, how fast is it, and what is to be done next? Called by check.sh.

Each stage is a process group with a limit of its own, and all have a budget together. Whatever fails, the others go
on, except where the device itself does not work. Exit code 0: all that was asked for is right; 1: something failed, or
there was no time for it; 2: bad usage, or there is no GPU; 128 + N: it was ended by signal N, 130 by Ctrl-C.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import shlex
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from check_outcome import WRONG, Plan, Stage
from check_run import Check, usable_cores
from check_stages import HERE, NAMES, STAGES, command_of, environment_of, on_cpu
from check_summary import TRY
from images import look_at

from domcli import __version__, devices
from domcli.errors import DataError, DeviceError
from domcli.files import replace_text

BUDGET = 470.0
HINT = "--cpu tries the program out without one"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MANY_CORES, MUCH_MEMORY = 16, 40e9
"""Where a machine has so many cores, and its GPU so many bytes, five stages that measure no times run together."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, and return the exit code."""
    options = _options(arguments)
    chosen = _chosen(options)
    if options.list:
        for stage in chosen:
            kind = "essential" if stage.essential else "measures"
            print(f"{stage.name:9} {stage.limit:4.0f} s  {kind:9}  {stage.about}")
        return 0
    found = [] if options.cpu else _gpus()
    try:
        if options.images:
            look_at(options.images)
    except DataError as error:
        _refuse(str(error))
    unseen = not options.cpu and not found
    if unseen and STAGES[0] not in chosen:
        chosen = [STAGES[0], *chosen]  # PyTorch may know a GPU that the driver's library does not
    output = (options.output or Path(tempfile.mkdtemp(prefix="domcli-gpu-check-"))).absolute()
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _refuse(f"nothing can be written in {output}: {error.strerror}")
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix="domcli-gpu-", ignore_cleanup_errors=True) as temporary:
            check = _check(chosen, options, output, Path(temporary), found)
    except KeyboardInterrupt as error:
        return 128 + int(error.args[0])
    first = check.outcomes[STAGES[0].name] if unseen else None
    if first is not None and first.state in WRONG:
        _refuse(f"no GPU is found on this machine: {first.problems[0]}; {HINT}")
    return check.exit_code


def _check(
    chosen: Sequence[Stage], options: argparse.Namespace, output: Path, temporary: Path, found: Sequence[devices.Gpu]
) -> Check:
    """Do the stages and show the summary."""
    images = options.images.absolute() if options.images else None
    stages, environments = [], {}
    for stage in chosen:
        work = temporary / stage.name
        (work / "tmp").mkdir(parents=True)
        stages.append(replace(stage, command=command_of(stage.name, output, work, images, cpu=options.cpu)))
        environments[stage.name] = environment_of(work, os.environ, cpu=options.cpu)
    for old in (output / "stages" / f"{name}.{ending}" for name in NAMES for ending in ("log", "json")):
        old.unlink(missing_ok=True)
    others = [stage for stage in STAGES if stage.name not in environments]
    about = _about(options, found)
    check = Check(Plan(stages, output, about, options.budget or BUDGET, others, partial(_again, options)))
    if options.cpu:
        print(TRY, flush=True)
    for number in SIGNALS:
        signal.signal(number, check.ask_to_stop)
    check.run(environments, _together(found, cpu=options.cpu))
    shown = "\n".join(check.summary())
    replace_text(output / "summary.txt", f"{shown}\n", durable=False)
    print(shown, flush=True)
    return check


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="check.sh", description="Check and time the trainer on this machine's GPU.")
    parser.add_argument("--budget", type=float, help=f"seconds for all of it (default {BUDGET:.0f})")
    parser.add_argument("--only", metavar="A,B", help="only these stages")
    parser.add_argument("--skip", metavar="A,B", help="all stages but these")
    parser.add_argument("--list", action="store_true", help="show the stages and their limits, and do nothing")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="for log.txt, results.json and summary.txt")
    parser.add_argument(
        "--images", type=Path, metavar="ARCHIVE", help="tar of train/CLASS/* and test/CLASS/*; default: made pictures"
    )
    parser.add_argument("--cpu", action="store_true", help="try the program out: every stage at a tiny size, on a CPU")
    options = parser.parse_args(arguments)
    if options.budget is not None and not options.budget > 0:
        parser.error("--budget must be greater than 0")
    if options.images is not None and not options.images.is_file():
        parser.error(f"there is no archive {options.images}")
    return options


def _chosen(options: argparse.Namespace) -> list[Stage]:
    only, skipped = (
        [] if given is None else [name.strip() for name in given.split(",")] for given in (options.only, options.skip)
    )
    for name in (*only, *skipped):
        if name not in NAMES:
            _refuse(f"there is no stage {name!r}; the stages are {', '.join(NAMES)}")
    chosen = [stage for stage in STAGES if (not only or stage.name in only) and stage.name not in skipped]
    if not chosen:
        _refuse("no stage is left to do")
    return [on_cpu(stage) for stage in chosen] if options.cpu else chosen


def _again(options: argparse.Namespace, names: Sequence[str], budget: float | None) -> str:
    """Return the command that does some of the stages with the same options, in so many seconds if that is given."""
    words = [str(HERE / "check.sh"), *(["--cpu"] if options.cpu else [])]
    seconds = budget or options.budget
    given = {"--images": options.images and options.images.absolute(), "--budget": seconds and f"{seconds:g}"}
    given["--output"] = options.output and f"{options.output.absolute()}-rest"  # so that what was found is kept
    for option, value in given.items():
        words += [option, str(value)] if value else []
    python = f"PYTHON={shlex.quote(os.environ['PYTHON'])} " if "PYTHON" in os.environ else ""
    return python + shlex.join([*words, "--only", ",".join(names)])


def _gpus() -> list[devices.Gpu]:
    """Return the GPUs that the driver's library shows; refuse where there certainly is none for CUDA."""
    found = devices.gpus()
    try:
        devices.choose("cuda", found)
    except DeviceError as error:
        _refuse(f"{str(error).partition(';')[0]}; {HINT}")
    return found


def _about(options: argparse.Namespace, found: Sequence[devices.Gpu]) -> dict[str, Any]:
    """Return the machine and the versions, without what would identify it."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "domcli": __version__,
        "device": found[0].product if found else devices.cpu_name(),
        "driver": devices.driver_version() if found else None,
        "python": platform.python_version(),
        **{name: _version(name) for name in ("torch", "torchvision")},
        "cores": usable_cores(),
        "size": "tiny" if options.cpu else "full",
        "images": options.images.name if options.images else "made",
    }


def _together(found: Sequence[devices.Gpu], *, cpu: bool) -> int:
    """Return how many stages that measure no times may run side by side."""
    if cpu:
        return min(2, usable_cores())
    memory = [gpu.memory_total - gpu.memory_used for gpu in found]
    return 5 if usable_cores() >= MANY_CORES and memory and min(memory) >= MUCH_MEMORY else 1


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _refuse(sentence: str) -> NoReturn:
    print(f"check.sh: error: {sentence}", file=sys.stderr)
    sys.exit(2)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    raise KeyboardInterrupt(number)


if __name__ == "__main__":
    sys.exit(main())
