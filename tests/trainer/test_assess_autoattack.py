"""AutoAttack is the package's standard version: same parameters, same images fooled, in whatever pieces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import assessed
import msgspec
import pyautoattack
import pytest
import torch

from domcli import evaluations
from domcli.errors import DataError
from domcli.evaluations import Plan, Progress
from domcli.rundir import RunDirectory
from domcli.trainer.assess import autoattack, batches
from domcli.trainer.assess.batches import FittingNetwork
from domcli.trainer.stop import StopRequested

STAGES = ["natural", "apgd-ce", "apgd-t", "fab-t", "square"]
IMAGES, BATCH, TARGETS = 20, 8, 2
CPU = torch.device("cpu")


class Brief(pyautoattack.AutoAttack):  # type: ignore[misc]
    """The package's suite with few steps, targets and queries."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.apgd.n_iter = self.apgd_targeted.n_iter = self.fab.n_iter = 4
        self.apgd_targeted.n_target_classes = self.fab.n_target_classes = TARGETS
        self.square.n_queries = 20


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    monkeypatch.setattr(pyautoattack, "AutoAttack", Brief)
    monkeypatch.setattr(autoattack, "MOST_TARGETS", TARGETS)
    return assessed.trained(tmp_path)


def brief_plan(run: RunDirectory, norm: evaluations.Norm = "linf") -> Plan:
    epsilon = 3.0 if norm == "linf" else 20.0
    asked_for = assessed.plan(run, attack="autoattack", norm=norm, epsilon=epsilon, images=IMAGES)
    return msgspec.structs.replace(asked_for, batch=BATCH)


def test_parameters_are_those_of_the_official_standard_version(tmp_path: Path) -> None:
    run = assessed.trained(tmp_path)
    classifier, _, _ = assessed.network(run)
    asked = assessed.plan(run, attack="autoattack", epsilon=8)
    stages = autoattack.stages(FittingNetwork(classifier, 40), asked, 10, CPU)
    attacks: dict[str, Any] = {stage.name: stage.still_correct._attack for stage in stages}  # type: ignore[attr-defined]
    assert list(attacks) == STAGES[1:]
    assert all(attack.eps == 8 / 255 and attack.norm == "Linf" for attack in attacks.values())
    ce, targeted, fab, square = attacks.values()
    assert (ce.loss, ce.n_iter, ce.n_restarts, ce.thr_decr, ce.eot_iter) == ("ce", 100, 1, 0.75, 1)
    assert (targeted.loss, targeted.n_iter, targeted.n_restarts) == ("dlr-targeted", 100, 1)
    assert (targeted.n_target_classes, fab.n_target_classes) == (9, 9)
    assert (fab.targeted, fab.n_iter, fab.n_restarts) == (True, 100, 1)
    assert (fab.alpha_max, fab.eta, fab.beta) == (0.1, 1.05, 0.9)
    assert (square.n_queries, square.p_init, square.n_restarts, square.loss) == (5000, 0.8, 1, "margin")
    assert square.rescale_schedule is False
    assert all(stage.together == evaluations.AUTOATTACK_BATCH == 250 for stage in stages)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_it_fools_the_images_that_the_package_called_directly_fools(run: RunDirectory, norm: evaluations.Norm) -> None:
    asked = brief_plan(run, norm)
    found = assessed.evaluate(run, asked)
    classifier, images, labels = assessed.network(run)
    places = list(assessed.correct(run, asked, "natural"))
    suite = Brief(classifier, norm=autoattack.NORMS[norm], eps=asked.epsilon / 255, seed=asked.seed)
    _, classes = suite.run_standard_evaluation(images[places], labels[places], batch_size=BATCH)
    survivors = [place for place, correct in assessed.correct(run, asked, "square").items() if correct]
    assert survivors == [place for place, same in zip(places, classes == labels[places], strict=True) if same]
    assert found.accuracy == len(survivors) / IMAGES < found.natural_accuracy
    assert list(found.stages) == STAGES
    left = list(found.stages.values())
    assert left == sorted(left, reverse=True)


def test_its_perturbations_are_those_of_the_package_to_the_last_bit(run: RunDirectory) -> None:
    classifier, images, labels = assessed.network(run)
    kept = (classifier(images).argmax(1) == labels).nonzero().flatten()[:BATCH]
    asked = msgspec.structs.replace(brief_plan(run), epsilon=6.0, seed=5)
    suite = Brief(classifier, eps=6 / 255, seed=5)
    for stage in autoattack.stages(FittingNetwork(classifier, 40), asked, 10, CPU):
        attack: Any = stage.still_correct._attack  # type: ignore[attr-defined]
        perturb, seen = attack.perturb, []
        attack.perturb = lambda x, y, of=perturb, seen=seen: seen.append(of(x, y)) or seen[-1]
        correct = stage.still_correct(images[kept], labels[kept], kept.tolist())
        suite.attacks_to_run = [stage.name]
        expected, _ = suite.run_standard_evaluation(images[kept], labels[kept], batch_size=BATCH)
        assert not correct.all(), stage.name
        assert torch.equal(seen[0][~correct], expected[~correct]), stage.name


def test_each_attack_sees_only_images_that_are_still_correct(run: RunDirectory) -> None:
    asked = brief_plan(run)
    assessed.evaluate(run, asked)
    left = set(assessed.correct(run, asked, "natural"))
    assert len(left) == IMAGES
    for stage in STAGES:
        correct = assessed.correct(run, asked, stage)
        assert set(correct) == left
        left = {place for place in left if correct[place]}


def test_it_is_at_least_as_strong_as_pgd(run: RunDirectory) -> None:
    weak = assessed.evaluate(run, assessed.plan(run, epsilon=3, alpha=0.75, steps=20, images=IMAGES))
    assert assessed.evaluate(run, brief_plan(run)).accuracy <= weak.accuracy


def test_smaller_memory_and_a_break_change_nothing(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    undisturbed = assessed.evaluate(assessed.trained(tmp_path / "other"), brief_plan(run))
    monkeypatch.setattr(batches, "CPU_IMAGES", 5)

    def stop(progress: Progress) -> None:
        if progress.stage == "apgd-t" and progress.done == BATCH:
            raise StopRequested("asked to")

    asked = brief_plan(run)
    with pytest.raises(StopRequested):
        assessed.evaluate(run, asked, stop)
    assert len(assessed.correct(run, asked, "apgd-t")) == BATCH
    assert assessed.evaluate(run, asked).stages == undisturbed.stages


def test_few_classes_are_attacked_towards_all_others(tmp_path: Path) -> None:
    run = assessed.trained(tmp_path)
    classifier, _, _ = assessed.network(run)
    network = FittingNetwork(classifier, 40)
    stages = autoattack.stages(network, brief_plan(run), 5, CPU)
    targeted: list[Any] = [stage.still_correct for stage in stages[1:3]]
    assert [one._attack.n_target_classes for one in targeted] == [4, 4]
    with pytest.raises(DataError, match="at least 4 classes, and this data set has 3"):
        autoattack.stages(network, brief_plan(run), 3, CPU)
