"""Attacks on checkpoints after the training: what was asked for, what was found so far, and the results.

Each evaluation has a folder of its own in the run's `evaluations/`, named after everything that decides its result:
the same question finds its answer, or the part of it that was found before, and another one, or one about a checkpoint
that has changed since, never mixes with it.

    plan.json      what is measured
    images.jsonl   what was found, a line a batch of images; append only
    result.json    the result, once all images are done
    evaluation.log what the process that evaluates wrote to stderr
    lock           held by the process that writes here
"""

from __future__ import annotations

from domcli.evaluations.findings import Batch, Findings
from domcli.evaluations.plan import AUTOATTACK_BATCH, Attack, Norm, Plan, make_plan
from domcli.evaluations.progress import Progress, Refusal, Said, decode, encode
from domcli.evaluations.result import Evaluation, prepare, read_all, read_plan, read_result, write_result

__all__ = [
    "AUTOATTACK_BATCH",
    "Attack",
    "Batch",
    "Evaluation",
    "Findings",
    "Norm",
    "Plan",
    "Progress",
    "Refusal",
    "Said",
    "decode",
    "encode",
    "make_plan",
    "prepare",
    "read_all",
    "read_plan",
    "read_result",
    "write_result",
]
