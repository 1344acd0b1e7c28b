"""Gates: `pgd.last: pgd-dom-re > pgd-baseline` says what the means of a comparison must show."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from domcli.compare.attacks import GRAMMAR
from domcli.compare.errors import ComparisonError
from domcli.compare.groups import Group, measured, run_name
from domcli.compare.records import METRICS, POINTS, Metric, Point
from domcli.printable import quoted

COMPARISONS: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    ">": ("greater than", operator.gt),
    ">=": ("at least", operator.ge),
    "<": ("less than", operator.lt),
    "<=": ("at most", operator.le),
}

EXAMPLE = "pgd.last: pgd-dom-re > pgd-baseline"

_FORM = re.compile(r"\s*([\w.-]+)\s*:\s*([^\s<>][^<>]*?)\s*(>=|<=|>|<)\s*([^\s<>=][^<>]*?)\s*")
_MARGIN = re.compile(r"(.+?)\s+([+-])\s*(\S+)", re.DOTALL)


@dataclass(frozen=True)
class Assertion:
    """What is expected of the mean accuracies, in percent: `left` against a group or number `right` and a margin."""

    text: str
    metric: Metric
    point: Point
    left: str
    comparison: str
    right: str


@dataclass(frozen=True)
class Verdict:
    """Whether an assertion holds, and a sentence with both numbers."""

    holds: bool
    sentence: str


@dataclass(frozen=True)
class _Side:
    """One side of an assertion: its value, None where nothing was measured, and how to show it."""

    value: float | None
    label: str
    margin: float = 0.0


def parse(text: str) -> Assertion:
    """Return the assertion of METRIC.POINT: GROUP > GROUP [+ MARGIN], or of one with a number on its right.

    Raises ComparisonError if it cannot be read.
    """
    form = _FORM.fullmatch(text)
    if form is None:
        raise ComparisonError(
            f"cannot read --assert {quoted(text)}: write METRIC.POINT: GROUP > GROUP, as in {EXAMPLE!r}"
        )
    measure, left, comparison, right = form.groups()
    metric, _, named = measure.rpartition(".")
    point = next((point for point in POINTS if point == named), None)
    if point is None and (measure in METRICS or GRAMMAR.fullmatch(measure)):
        points = " or ".join(f"{measure}.{point}" for point in POINTS)
        raise ComparisonError(f"--assert {quoted(text)}: {quoted(measure)} does not say of which epoch; write {points}")
    if point is None or not (metric in METRICS or GRAMMAR.fullmatch(metric)):
        raise ComparisonError(
            f"--assert {quoted(text)}: {quoted(measure)} is not known; it is {', '.join(METRICS)}, aa or an "
            f"evaluation such as pgd-50-10, then .{', .'.join(POINTS)}"
        )
    return Assertion(text.strip(), metric, point, left, comparison, right)


def check(assertion: Assertion, groups: Sequence[Group]) -> Verdict:
    """Judge an assertion by the means of the groups. Raises ComparisonError if it names a group that is not there.

    What was not measured does not hold: a gate must not open because there is nothing to see.
    """
    left = _side(assertion, _group(assertion, assertion.left, groups))
    right = _right(assertion, groups)
    words, holds = COMPARISONS[assertion.comparison]
    missing = [side.label for side in (left, right) if side.value is None]
    if left.value is None or right.value is None:
        return Verdict(False, f"{quoted(assertion.text)} cannot be judged: {'; '.join(missing)}")
    bound = right.value + right.margin
    judged = holds(left.value, bound)
    decimals = 2 if f"{left.value:.2f}" != f"{bound:.2f}" or left.value == bound else 6
    sum_ = f" {right.margin:+g} = {bound:.{decimals}f} %" if right.margin else ""
    return Verdict(
        judged,
        f"{quoted(assertion.text)} {'holds' if judged else 'does not hold'}: {left.value:.{decimals}f} % "
        f"({left.label}) is {'' if judged else 'not '}{words} {right.value:.{decimals}f} % ({right.label}){sum_}",
    )


def _right(assertion: Assertion, groups: Sequence[Group]) -> _Side:
    number = _number(assertion.right)
    if number is not None:
        return _Side(number, "given")
    margin = _MARGIN.fullmatch(assertion.right)
    if margin is None or any(group.name == assertion.right for group in groups):
        return _side(assertion, _group(assertion, assertion.right, groups))
    points = _number(margin[2] + margin[3])
    if points is None:
        raise ComparisonError(f"--assert {quoted(assertion.text)}: the margin {quoted(margin[3])} is not a number")
    side = _side(assertion, _group(assertion, margin[1], groups))
    return _Side(side.value, side.label, points)


def _side(assertion: Assertion, group: Group) -> _Side:
    found = group.summary(assertion.metric, assertion.point)
    if found.mean is not None:
        return _Side(found.mean, f"n = {found.n}")
    there = ", ".join(measured([group]))
    why = "no run that counts" if group.n == 0 else f"no {assertion.metric}.{assertion.point}, but {there}"
    return _Side(None, f"{group.name} has {why}")


def _group(assertion: Assertion, name: str, groups: Sequence[Group]) -> Group:
    """Return the group that is called so, or whose runs are, or, if there is but one, that begins so."""
    fits: tuple[Callable[[Group], bool], ...] = (
        lambda group: group.name == name,
        lambda group: group.stem == name,
        lambda group: any(name in (record.name, run_name(record).given) for record in group.members),
        lambda group: group.name.startswith(name),
    )
    found = ([group for group in groups if fit(group)] for fit in fits)
    fitting = next((some for some in found if some), [])
    if len(fitting) == 1:
        return fitting[0]
    problem = "fits several groups" if fitting else "is no group"
    there = ", ".join(group.name for group in fitting or groups)
    raise ComparisonError(f"--assert {quoted(assertion.text)}: {quoted(name)} {problem}; there are: {there}")


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
