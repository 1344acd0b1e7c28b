"""The tests that need a GPU; on a CPU, a handful of those of the engines. Found: the numbers of tests, by outcome."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from pathlib import Path

from stage_report import CHECKOUT, Place, Report

TESTS = CHECKOUT / "tests" / "trainer"
NEEDS_GPU, NO_GPU = "torch.cuda.is_available()", "no CUDA device"
"""In the skipif of a test that needs a GPU: its condition, and what it says where there is none."""
ON_CPU = ("test_each_kind_of_step_is_recorded_once", "test_evaluations_agree_whatever_the_engine")
PROCESSES = 8


def run(place: Place, report: Report) -> None:
    """Run the tests; none may fail, and on a GPU those that need one must not be skipped."""
    if importlib.util.find_spec("pytest") is None:
        report.expect(False, "pytest is not installed; install domcli's extra dev, or leave this out with --skip tests")
        return
    result = place.work / "tests.xml"
    code = _pytest(place, result)
    counts, failed = counts_of(result)
    report.keep("counts", counts)
    report.line(", ".join(f"{counts[kind]} {kind}" for kind in ("passed", "failed", "skipped")))
    for name in failed:
        report.expect(False, f"{name} failed")
    for problem in problems_of(counts):
        report.expect(False, problem)
    report.expect(code == 0 or bool(failed), f"pytest ended with exit code {code}")


def problems_of(counts: Mapping[str, int]) -> Iterator[str]:
    """Tell why tests say too little, if they do."""
    if not counts["passed"]:
        yield "not a single test has passed: all were skipped, or none was found"
    if counts["without_gpu"]:
        yield f"tests that need a GPU found none and were skipped: {counts['without_gpu']}"
    elif counts["skipped"] > counts["passed"]:
        yield f"more tests were skipped ({counts['skipped']}) than have passed ({counts['passed']})"


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


def counts_of(result: Path) -> tuple[dict[str, int], list[str]]:
    """Return how many tests passed, failed and were skipped, for want of a GPU or in all, and which failed."""
    cases = list(ElementTree.parse(result).iter("testcase")) if result.exists() else []
    failed = [_name(case) for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = [one.get("message", "") for case in cases for one in case.iter("skipped")]
    passed = len(cases) - len(failed) - len(skipped)
    without = sum(NO_GPU in message for message in skipped)
    return {"passed": passed, "failed": len(failed), "skipped": len(skipped), "without_gpu": without}, failed


def _name(case: ElementTree.Element) -> str:
    return f"{case.get('classname', '')}::{case.get('name', '')}"
