"""The summary of a check: what is right and what is not, numbers, and what to do next."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from check_outcome import LEAST_SECONDS, WRONG, Outcome, Plan, unknown, wrong
from stage_report import CHECKOUT

TRY = "A try of the program at a tiny size on a CPU: its numbers mean nothing."


def summary(plan: Plan, outcomes: Sequence[Outcome], seconds: float, why_not: str) -> list[str]:
    """Return the lines that are shown last; `why_not` tells why stages have not begun."""
    about = plan.about
    title = f"{about.get('device')}, torch {about.get('torch')}, driver {about.get('driver')}, {seconds:.0f} s"
    lines = ["", f"==== summary: {title} ====", *([TRY] if plan.tiny else [])]
    for outcome in (one for one in outcomes if one.state != "not begun"):
        lines.append(f"{outcome.stage.name}: {outcome.state}, {outcome.seconds:.0f} s")
        lines += [f"    {line}" for line in outcome.lines]
        lines += [f"    PROBLEM {problem}" for problem in outcome.problems]
    missing = [one.stage.name for one in outcomes if one.state == "not begun"]
    if missing:
        lines.append(f"not done: {', '.join(missing)} ({why_not})")
    return [*lines, "next:", *(f"    {line}" for line in _next(plan, outcomes, seconds)), _verdict(plan, outcomes)]


def _next(plan: Plan, outcomes: Sequence[Outcome], seconds: float) -> Iterator[str]:
    for outcome in outcomes:
        if outcome.state in WRONG:
            yield f"{outcome.stage.name}: {outcome.stage.advice}"
    yield from _missing(plan, [one for one in outcomes if not one.done], seconds)
    measured = any(one.state == "ok" and not one.stage.essential for one in outcomes)
    if measured and not plan.tiny and not wrong(outcomes):
        device = re.sub(r"[^a-z0-9]+", "-", str(plan.about.get("device")).lower()).strip("-")
        kept = CHECKOUT / "benchmarks" / "results" / f"{device}.json"
        yield f"keep the measurements: {shlex.join(['cp', str(plan.output / 'results.json'), str(kept)])}"
    yield f"everything is in {plan.output}"


def _missing(plan: Plan, missing: Sequence[Outcome], seconds: float) -> Iterator[str]:
    """Tell how to do what was not done, with a budget that is enough where this one was too small."""
    if not missing:
        return
    needed = None
    if plan.budget - seconds < LEAST_SECONDS:
        needed = sum(one.stage.limit for one in missing)
        yield f"the budget of {plan.budget:.0f} s was too small: what was not done is allowed {needed:.0f} s in all"
    yield f"what was not done: {plan.again([one.stage.name for one in missing], needed)}"


def _verdict(plan: Plan, outcomes: Sequence[Outcome]) -> str:
    amiss, missing = wrong(outcomes), unknown(outcomes, plan.others)
    parts = [f"wrong: {', '.join(amiss)}"] if amiss else []
    parts += [f"not known: {', '.join(missing)} {'was' if len(missing) == 1 else 'were'} not done"] if missing else []
    said = "; ".join(parts) or "right: all that tells it was done, and nothing failed"
    return f"{said} (on a CPU, which says nothing of a GPU)" if plan.tiny else said
