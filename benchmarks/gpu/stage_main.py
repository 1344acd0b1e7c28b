"""The process of a stage: `python stage_main.py NAME --told FILE --work FOLDER [--images ARCHIVE] [--cpu]`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from pathlib import Path

from stage_report import CHECKOUT, Place, Report

from domcli.trainer import torch_environment


def main() -> int:
    """Do a stage; return 0 if nothing was amiss."""
    parser = argparse.ArgumentParser(description="Do one stage of the check.")
    parser.add_argument("name")
    parser.add_argument("--told", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--cpu", action="store_true")
    options = parser.parse_args()
    os.environ.update(torch_environment())  # before torch is loaded, as a trainer does
    sys.path.append(str(CHECKOUT / "benchmarks"))
    report = Report(options.told)
    place = Place(options.cpu, options.work, options.images)
    try:
        importlib.import_module(f"gpu_{options.name}").run(place, report)
    except Exception as error:
        traceback.print_exc()
        words = str(error).strip().splitlines() or [""]
        report.expect(False, f"{type(error).__name__}: {words[0]}")
    return 1 if report.problems else 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # as a trainer ends: taking torch apart would take another second
