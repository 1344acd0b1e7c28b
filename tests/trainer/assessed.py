"""A trained network and evaluations of it, for the tests of domcli.trainer.assess."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import tiny
import torch

from domcli import evaluations, presets
from domcli.evaluations import Evaluation, Plan, Progress
from domcli.rundir import RunDirectory
from domcli.trainer import data
from domcli.trainer.assess.assessment import assess
from domcli.trainer.checkpoint import load_weights
from domcli.trainer.models import Classifier, build

SETTINGS = (
    *("data.train_images=400", "data.test_images=40", "dom.operate=none", "evaluation.every=5"),
    *("train.epochs=5", "train.max_lr=0.1", "attack.epsilon=4", "evaluation.alpha=1"),
)


@cache
def _trained() -> RunDirectory:
    run = tiny.make_run(Path(tempfile.mkdtemp(prefix="domcli-test-")), "natural-dom-re", *SETTINGS)
    tiny.train_here(run)
    return run


def trained(folder: Path) -> RunDirectory:
    """Return a copy of a run whose network classifies more than half of its 40 test images."""
    return RunDirectory(Path(shutil.copytree(_trained().path, folder / "trained")))


def plan(run: RunDirectory, **asked: Any) -> Plan:
    return evaluations.make_plan(run, presets.from_run(run), **asked)


def evaluate(run: RunDirectory, asked: Plan, tell: Callable[[Progress], None] = lambda progress: None) -> Evaluation:
    """Do an evaluation in this process."""
    folder = evaluations.prepare(run, asked)
    return assess(folder, asked, presets.from_run(run), asked.file(run).read_bytes(), "cpu", None, tell)


def correct(run: RunDirectory, asked: Plan, stage: str) -> dict[int, bool]:
    """Return what an evaluation has kept of a stage."""
    findings = evaluations.Findings(run.evaluations / asked.name)
    findings.close()
    return findings.of(stage)


def network(run: RunDirectory) -> tuple[Classifier, torch.Tensor, torch.Tensor]:
    """Return the classifier of `best` in eval mode, the test images in [0, 1] and their labels."""
    settings = presets.from_run(run)
    dataset = data.load(settings.data, torch.device("cpu"))
    network = build(settings.model, 1, dataset.classes)
    load_weights(run.checkpoint("best"), network)
    classifier = Classifier(network, dataset.mean, dataset.std).eval()
    return classifier, (dataset.test.images.float() / 255).contiguous(), dataset.test.labels
