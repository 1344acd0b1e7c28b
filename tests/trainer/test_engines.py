"""The recording engine against the plain one: fixed shapes and recorded pieces change nothing but the rounding.

The recorder of these tests keeps copies of its inputs as a CUDA graph does, and calls instead of replaying.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import tiny
import torch
from torch import Tensor

from domcli.trainer import seeding
from domcli.trainer.augmentation import policies
from domcli.trainer.data import Dataset, ImageSet
from domcli.trainer.engine import Engine
from domcli.trainer.evaluate import Attacks, Draws, evaluate
from domcli.trainer.fast import engine_for
from domcli.trainer.fast.recorded import Function, RecordingEngine
from domcli.trainer.fast.twin import Twins
from domcli.trainer.models.normalisation import BatchNormReLU
from domcli.trainer.seeding import Purpose
from domcli.trainer.state import Training

PRESETS = [
    f"{paradigm}-dom-{kind}" for paradigm in ("natural", "fgsm", "pgd") for kind in ("re", "augmix", "randaugment")
]
STEPS, BATCH, IMAGES = 50, 12, 40


def calling(function: Function, inputs: Sequence[Tensor], changed: Sequence[Tensor]) -> Function:
    held = [value.clone() for value in inputs]

    def replay(*values: Tensor) -> tuple[Tensor, ...]:
        for place, value in zip(held, values, strict=True):
            place.copy_(value)
        return function(*held)

    return replay


def fresh(preset: str, *overrides: str, threshold: float = 2.2, device: str = "cpu") -> Training:
    generator = torch.Generator().manual_seed(3)
    pixels = torch.randint(256, (IMAGES, 3, 12, 12), dtype=torch.uint8, generator=generator)
    labels = torch.randint(10, (IMAGES,), generator=generator)
    pictures = ImageSet(pixels.contiguous(memory_format=torch.channels_last).to(device), labels.to(device))
    names = tuple("abcdefghij")
    chosen = tiny.settings(
        preset, f"train.batch_size={BATCH}", f"dom.threshold={threshold}", "train.max_lr=0.05", *overrides
    )
    return Training.fresh(chosen, Dataset(pictures, pictures, names, (0.5,) * 3, (0.25,) * 3), torch.device(device))


def losses_of(training: Training, engine: Engine) -> list[list[float]]:
    """Return what the meter saw in each of the steps, the last of every epoch being a small one."""
    seen = []
    for step in range(STEPS):
        epoch, place = divmod(step, 4)
        seeding.reseed(0, Purpose.STEP, epoch, place)
        index = seeding.order(IMAGES, 0, epoch)[place * BATCH : (place + 1) * BATCH].to(training.device)
        training.meter.reset()
        engine.step(index, 0.05, dom_active=step >= STEPS // 5)
        seen.append(training.meter.sums.tolist())
    return seen


@pytest.fixture
def _draws_of_the_step_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """AugMix draws weights per image, so a subset draws fewer: here every image of a step gets the same."""

    def drawn(count: int, height: int, width: int) -> policies.Mixture:
        with torch.random.fork_rng([]):
            torch.manual_seed(torch.initial_seed())
            mixture = draw_augmix(1, height, width)
        return policies.Mixture(mixture.chains, mixture.weights.expand(count, -1))

    draw_augmix = policies.draw_augmix
    monkeypatch.setattr(policies, "draw_augmix", drawn)


@pytest.mark.usefixtures("_draws_of_the_step_alone")
@pytest.mark.parametrize("preset", PRESETS)
def test_the_losses_of_all_steps_agree(preset: str) -> None:
    plain, recorded = fresh(preset), fresh(preset)
    expected = losses_of(plain, Engine(plain))
    engine = RecordingEngine(recorded, calling)
    engine.network = Twins(recorded.classifier)
    found = losses_of(recorded, engine)
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=2e-3, atol=2e-3)
    acted = sum(row[6] + row[7] for row in expected)
    assert 0 < acted < STEPS * BATCH  # some patterns were high-confidence, and some were not
    for name, value in plain.classifier.state_dict().items():
        torch.testing.assert_close(recorded.classifier.state_dict()[name], value, rtol=1e-2, atol=2e-3)


@pytest.mark.parametrize("threshold", [0.001, 100.0])
def test_nobody_or_everybody_may_be_high_confidence(threshold: float) -> None:
    plain, recorded = (fresh("natural-dom-randaugment", threshold=threshold) for _ in range(2))
    expected = losses_of(plain, Engine(plain))
    found = losses_of(recorded, RecordingEngine(recorded, calling))
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=2e-3, atol=2e-3)
    tracked = [layer for layer in plain.classifier.modules() if isinstance(layer, BatchNormReLU)]
    others = [layer for layer in recorded.classifier.modules() if isinstance(layer, BatchNormReLU)]
    for one, other in zip(tracked, others, strict=True):
        assert one.num_batches_tracked == other.num_batches_tracked
        torch.testing.assert_close(one.running_var, other.running_var, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("chosen", [[0, 3, 4], [5], list(range(8))])
def test_a_subset_has_its_own_batch_statistics(chosen: list[int]) -> None:
    layer, alone = BatchNormReLU(6), BatchNormReLU(6)
    images = torch.randn(8, 6, 3, 3) * 2 + 1
    layer.subset = torch.zeros(8, dtype=torch.bool).index_fill(0, torch.tensor(chosen), True)
    torch.testing.assert_close(layer(images)[chosen], alone(images[chosen]))
    for name, buffer in alone.named_buffers():
        torch.testing.assert_close(layer.get_buffer(name), buffer)


def test_an_empty_subset_leaves_the_statistics_alone() -> None:
    layer = BatchNormReLU(6)
    before = {name: buffer.clone() for name, buffer in layer.named_buffers()}
    layer.subset = torch.zeros(4, dtype=torch.bool)
    assert layer(torch.randn(4, 6, 2, 2)).isfinite().all()
    assert all(torch.equal(before[name], buffer) for name, buffer in layer.named_buffers())


def test_a_device_that_records_nothing_trains_all_the_same_and_says_why() -> None:
    def refusing(function: Function, inputs: Sequence[Tensor], changed: Sequence[Tensor]) -> Function:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")

    plain, refused = fresh("pgd-dom-re"), fresh("pgd-dom-re")
    engine = RecordingEngine(refused, refusing)
    assert losses_of(refused, engine) == losses_of(plain, Engine(plain))
    assert engine.describe()["no_graphs"] == "CUDA out of memory. Tried to allocate 2 GiB"
    assert engine.describe()["steps"] == Engine(plain).describe()["steps"]


def test_each_kind_of_step_is_recorded_once() -> None:
    training, kinds = fresh("pgd-dom-re"), []

    def counting(function: Function, inputs: Sequence[Tensor], changed: Sequence[Tensor]) -> Function:
        kinds.append([tuple(value.shape) for value in inputs])
        return calling(function, inputs, changed)

    losses_of(training, RecordingEngine(training, counting))
    assert len(kinds) == 2  # before and after the warm-up; never the small batch
    assert all(shapes[0] == (BATCH,) for shapes in kinds)


def test_evaluations_agree_whatever_the_engine() -> None:
    training = fresh("fgsm-dom-re")
    draws, attacks = Draws(0, Purpose.TEST, 0), Attacks.on_test_set(training.settings)
    measures = [Engine(training).measure, RecordingEngine(training, calling).measure]
    one, other = (
        evaluate(training.classifier, training.dataset.test, attacks, measure, draws, lambda done, of: None)
        for measure in measures
    )
    assert one == other


def test_a_cpu_has_no_graphs() -> None:
    assert type(engine_for(fresh("pgd-dom-re"))) is Engine
