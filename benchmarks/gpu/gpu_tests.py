"""The tests that need a GPU; on a CPU, a handful of those of the engines. Found: the numbers of tests, by outcome."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from stage_report import CHECKOUT, Place, Report

TESTS = CHECKOUT / "tests" / "trainer"
NEEDS_GPU = "torch.cuda.is_available()"
"""In the skipif of a file whose tests need a GPU."""
ON_CPU = ("test_each_kind_of_step_is_recorded_once", "test_evaluations_agree_whatever_the_engine")
PROCESSES = 8


def run(place: Place, report: Report) -> None:
    """Run the tests; none may fail, and some must pass."""
    result = place.work / "tests.xml"
    code = _pytest(place, result)
    counts, failed = _counts(result)
    report.keep("counts", counts)
    report.line(", ".join(f"{count} {kind}" for kind, count in counts.items()))
    for name in failed:
        report.expect(False, f"{name} failed")
    report.expect(counts["passed"] > 0, "not a single test has passed: all were skipped, or none was found")
    report.expect(code == 0 or bool(failed), f"pytest ended with exit code {code}")


def _pytest(place: Place, result: Path) -> int:
    if place.cpu:
        tests = [f"{TESTS / 'test_engines.py'}::{name}" for name in ON_CPU]
    else:
        tests = [str(path) for path in sorted(TESTS.glob("test_*.py")) if NEEDS_GPU in path.read_text("utf-8")]
    options = ["-p", "no:cacheprovider", "-q", "--tb=short", "-rfEs", "--durations=5", f"--junitxml={result}"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        *tests,
        *options,
        "-o",
        "addopts=--strict-markers",
        *_side_by_side(place),
    ]
    return subprocess.run(command, cwd=CHECKOUT, check=False).returncode


def _side_by_side(place: Place) -> list[str]:
    if place.cpu or importlib.util.find_spec("xdist") is None:
        return []
    cores = len(os.sched_getaffinity(0))
    return ["--numprocesses", str(max(1, min(PROCESSES, cores // 2))), "--dist", "worksteal"]


def _counts(result: Path) -> tuple[dict[str, int], list[str]]:
    """Return how many tests passed, failed and were skipped, and the names of those that failed."""
    cases = list(ElementTree.parse(result).iter("testcase")) if result.exists() else []
    failed = [_name(case) for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    return {"passed": len(cases) - len(failed) - skipped, "failed": len(failed), "skipped": skipped}, failed


def _name(case: ElementTree.Element) -> str:
    return f"{case.get('classname', '')}::{case.get('name', '')}"
