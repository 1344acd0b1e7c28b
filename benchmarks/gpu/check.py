"""Is the trainer right on this machine's GPU, how fast is it, and what is to be done next? Called by check.sh.

Each stage is a process group with a limit of its own, and all have a budget together. Whatever fails, the others go
on. Exit code 0: all is right; 1: something failed; 2: bad usage.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from check_run import Check, Stage, usable_cores
from check_stages import NAMES, STAGES, command_of, environment_of, on_cpu

from domcli import __version__, devices

BUDGET = 470.0
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
    output = (options.output or Path(tempfile.mkdtemp(prefix="domcli-gpu-check-"))).absolute()
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _refuse(f"nothing can be written in {output}: {error.strerror}")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    with tempfile.TemporaryDirectory(prefix="domcli-gpu-", ignore_cleanup_errors=True) as temporary:
        return _check(chosen, options, output, Path(temporary))


def _check(chosen: Sequence[Stage], options: argparse.Namespace, output: Path, temporary: Path) -> int:
    images = options.images.absolute() if options.images else None
    stages, environments = [], {}
    for stage in chosen:
        work = temporary / stage.name
        (work / "tmp").mkdir(parents=True)
        command = command_of(stage.name, output, work, images, cpu=options.cpu)
        stages.append(replace(on_cpu(stage) if options.cpu else stage, command=command))
        environments[stage.name] = environment_of(work, os.environ, cpu=options.cpu)
        for old in (output / "stages" / f"{stage.name}.{ending}" for ending in ("log", "json")):
            old.unlink(missing_ok=True)
    check = Check(stages, output, _about(options), options.budget)
    try:
        check.run(environments, _together(cpu=options.cpu))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    shown = check.summary()
    (output / "summary.txt").write_text("\n".join(shown) + "\n", encoding="utf-8")
    print("\n".join(shown), flush=True)
    return check.exit_code


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="check.sh", description="Check and time the trainer on this machine's GPU.")
    parser.add_argument("--budget", type=float, default=BUDGET, help=f"seconds for all of it (default {BUDGET:.0f})")
    parser.add_argument("--only", metavar="A,B", help="only these stages")
    parser.add_argument("--skip", metavar="A,B", help="all stages but these")
    parser.add_argument("--list", action="store_true", help="show the stages and their limits, and do nothing")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="for log.txt, results.json and summary.txt")
    parser.add_argument(
        "--images", type=Path, metavar="ARCHIVE", help="tar of train/CLASS/* and test/CLASS/*; default: made pictures"
    )
    parser.add_argument("--cpu", action="store_true", help="every stage at a tiny size, on a CPU")
    options = parser.parse_args(arguments)
    if not options.budget > 0:
        parser.error("--budget must be greater than 0")
    if options.images is not None and not options.images.is_file():
        parser.error(f"there is no archive {options.images}")
    return options


def _chosen(options: argparse.Namespace) -> list[Stage]:
    only, skipped = (tuple(filter(None, (given or "").split(","))) for given in (options.only, options.skip))
    for name in (*only, *skipped):
        if name not in NAMES:
            _refuse(f"there is no stage {name!r}; the stages are {', '.join(NAMES)}")
    chosen = [stage for stage in STAGES if (not only or stage.name in only) and stage.name not in skipped]
    if not chosen:
        _refuse("no stage is left to do")
    return chosen


def _about(options: argparse.Namespace) -> dict[str, Any]:
    """Return the machine and the versions, without what would identify it."""
    found = [] if options.cpu else devices.gpus()
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


def _together(*, cpu: bool) -> int:
    """Return how many stages that measure no times may run side by side."""
    if cpu:
        return min(2, usable_cores())
    memory = [gpu.memory_total - gpu.memory_used for gpu in devices.gpus()]
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
    raise KeyboardInterrupt(signal.Signals(number).name)


if __name__ == "__main__":
    sys.exit(main())
