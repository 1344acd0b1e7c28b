"""The recording engine against the plain one: fixed shapes and recorded pieces change nothing but the rounding.

The recorder of these tests keeps copies of its inputs as a CUDA graph does, and calls instead of replaying.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import pytest
import tiny
import torch
from torch import Tensor

from domcli.computation import COMPILED, WRITTEN, Computation
from domcli.trainer import seeding
from domcli.trainer.bench.calling import calling, draws_of_the_step_alone
from domcli.trainer.data import Dataset, ImageSet
from domcli.trainer.engine import Engine
from domcli.trainer.evaluate import Attacks, Draws, evaluate
from domcli.trainer.fast import engine_for
from domcli.trainer.fast.compiled import CompiledNetwork
from domcli.trainer.fast.convert import convert
from domcli.trainer.fast.normalisation import FastBatchNormReLU
from domcli.trainer.fast.recorded import RecordingEngine, unrecorded
from domcli.trainer.fast.twin import Twins
from domcli.trainer.models.normalisation import BatchNormReLU
from domcli.trainer.seeding import Purpose
from domcli.trainer.state import Training
from domcli.trainer.step import Stage

PRESETS = [
    f"{paradigm}-dom-{kind}" for paradigm in ("natural", "fgsm", "pgd") for kind in ("re", "augmix", "randaugment")
]
STEPS, BATCH, IMAGES = 30, 12, 40


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
def _draws_of_the_step_alone() -> Iterator[None]:
    with draws_of_the_step_alone():
        yield


@pytest.mark.usefixtures("_draws_of_the_step_alone")
@pytest.mark.parametrize("preset", PRESETS)
def test_the_losses_of_all_steps_agree(preset: str) -> None:
    plain, recorded = fresh(preset), fresh(preset)
    expected = losses_of(plain, Engine(plain))
    engine = RecordingEngine(recorded, calling)
    engine.compute(Twins(recorded.classifier), {})
    found = losses_of(recorded, engine)
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=2e-3, atol=2e-3)
    acted = sum(row[6] + row[7] for row in expected)
    assert 0 < acted < STEPS * BATCH  # some patterns were high-confidence, and some were not
    for name, value in plain.classifier.weights(STEPS).items():
        torch.testing.assert_close(recorded.classifier.weights(STEPS)[name], value, rtol=1e-2, atol=2e-3)


@pytest.mark.parametrize("threshold", [0.001, 100.0])
def test_nobody_or_everybody_may_be_high_confidence(threshold: float) -> None:
    plain, recorded = (fresh("natural-dom-randaugment", threshold=threshold) for _ in range(2))
    expected = losses_of(plain, Engine(plain))
    found = losses_of(recorded, RecordingEngine(recorded, calling))
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=2e-3, atol=2e-3)
    for one, other in zip(plain.classifier.statistics(), recorded.classifier.statistics(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-3)


def fast_batch_norm() -> FastBatchNormReLU:
    layer = BatchNormReLU(6)
    convert(layer)
    assert isinstance(layer, FastBatchNormReLU)
    return layer


@pytest.mark.parametrize("chosen", [[0, 3, 4], [5], list(range(8))])
def test_a_subset_has_its_own_batch_statistics(chosen: list[int]) -> None:
    layer, alone = fast_batch_norm(), fast_batch_norm()
    images = torch.randn(8, 6, 3, 3) * 2 + 1
    layer.subset = torch.zeros(8, dtype=torch.bool).index_fill(0, torch.tensor(chosen), True)
    torch.testing.assert_close(layer(images)[chosen], alone(images[chosen]))
    for name, buffer in alone.named_buffers():
        torch.testing.assert_close(layer.get_buffer(name), buffer)


def test_an_empty_subset_leaves_the_statistics_alone() -> None:
    layer = fast_batch_norm()
    before = {name: buffer.clone() for name, buffer in layer.named_buffers()}
    layer.subset = torch.zeros(4, dtype=torch.bool)
    assert layer(torch.randn(4, 6, 2, 2)).isfinite().all()
    assert all(torch.equal(before[name], buffer) for name, buffer in layer.named_buffers())


def test_a_device_that_records_nothing_trains_all_the_same_and_says_why() -> None:
    def refusing(function: Stage, inputs: Sequence[Tensor], changed: Sequence[Tensor]) -> Stage:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")

    plain, refused = fresh("pgd-dom-re"), fresh("pgd-dom-re")
    engine = RecordingEngine(refused, refusing)
    assert losses_of(refused, engine) == losses_of(plain, Engine(plain))
    assert engine.describe()["no_graphs"] == "CUDA out of memory. Tried to allocate 2 GiB"
    assert engine.describe()["steps"] == Engine(plain).describe()["steps"]


@pytest.mark.parametrize("threshold", [1e-6, 2.2])
@pytest.mark.parametrize("recordings", [0, 1, 2])
def test_recording_that_fails_within_a_step_changes_nothing_of_that_step(recordings: int, threshold: float) -> None:
    def failing(function: Stage, inputs: Sequence[Tensor], changed: Sequence[Tensor]) -> Stage:
        made.append(function)
        if len(made) > recordings:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return calling(function, inputs, changed)

    made: list[Stage] = []
    plain, other = (fresh("natural-dom-randaugment", threshold=threshold) for _ in range(2))
    engine = RecordingEngine(other, failing)
    for one in (Engine(plain), engine):
        seeding.reseed(0, Purpose.STEP, 0, 0)
        one.step(torch.arange(BATCH), 0.05, dom_active=True)
    assert not engine.records
    for one, found in zip(plain.classifier.statistics(), other.classifier.statistics(), strict=True):
        torch.testing.assert_close(found, one, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(other.meter.sums, plain.meter.sums, rtol=1e-3, atol=1e-3)


def test_each_kind_of_step_is_recorded_once() -> None:
    training, kinds = fresh("pgd-dom-re"), []

    def counting(function: Stage, inputs: Sequence[Tensor], changed: Sequence[Tensor]) -> Stage:
        kinds.append([tuple(value.shape) for value in inputs])
        return calling(function, inputs, changed)

    losses_of(training, RecordingEngine(training, counting))
    small = IMAGES % BATCH
    assert [shapes[0] for shapes in kinds] == 2 * [(BATCH,), (small,)]  # before and after the warm-up


def test_a_rehearsal_leaves_everything_as_it_was() -> None:
    for preset in ("natural-dom-augmix", "fgsm-dom-re"):
        training = fresh(preset)
        engine = RecordingEngine(training, unrecorded)
        losses_of(training, engine)
        changed, random = [value.clone() for value in engine._changed()], torch.get_rng_state()
        engine.rehearse(Attacks.on_test_set(training.settings), 8)
        assert all(torch.equal(one, other) for one, other in zip(changed, engine._changed(), strict=True))
        assert torch.equal(random, torch.get_rng_state())
        assert training.classifier.training
        assert all(parameter.grad is None for parameter in training.classifier.parameters())


@pytest.mark.parametrize("preset", ["natural-dom-augmix", "fgsm-dom-re"])
def test_what_is_rehearsed_is_all_that_a_run_needs_compiled(preset: str) -> None:
    torch._dynamo.reset()
    training = fresh(preset, "attack.restarts=2")
    engine = RecordingEngine(training, calling)
    engine.compute(CompiledNetwork(training.classifier, [BATCH, IMAGES], "eager"), {})
    attacks = Attacks.on_test_set(training.settings)
    engine.rehearse(attacks, IMAGES)
    rehearsed = traces()
    losses_of(training, engine)
    draws = Draws(0, Purpose.TEST, 0)
    evaluate(training.classifier, training.dataset.test, attacks, engine.measure, draws, lambda done, of: None)
    assert traces() == rehearsed > 0
    torch._dynamo.reset()


def traces() -> int:
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def test_without_graphs_the_network_is_computed_as_written() -> None:
    def refusing(function: Stage, inputs: Sequence[Tensor], changed: Sequence[Tensor]) -> Stage:
        raise RuntimeError("CUDA error: operation not supported\nmore")

    training = fresh("pgd-dom-re")
    engine = RecordingEngine(training, refusing)
    engine.compute(CompiledNetwork(training.classifier, [BATCH], "eager"), {"network": COMPILED})
    engine.step(torch.arange(BATCH), 0.05, dom_active=False)
    assert engine.network is training.classifier
    told = {"no_graphs": "CUDA error: operation not supported", "network": WRITTEN}
    assert told.items() <= engine.describe().items()


def test_an_evaluation_too_large_to_be_recorded_is_recorded_in_pieces() -> None:
    recorded = []

    def small(function: Stage, inputs: Sequence[Tensor], changed: Sequence[Tensor]) -> Stage:
        if len(inputs[0]) > 10:
            raise torch.OutOfMemoryError("CUDA out of memory")
        recorded.append(len(inputs[0]))
        return calling(function, inputs, changed)

    training = fresh("fgsm-dom-re")
    engine, draws = RecordingEngine(training, small), Draws(0, Purpose.TEST, 0)
    attacks = Attacks.on_test_set(training.settings)
    expected, found = (
        msgspec.structs.astuple(
            evaluate(training.classifier, training.dataset.test, attacks, measure, draws, lambda done, of: None)
        )
        for measure in (Engine(training).measure, engine.measure)
    )
    assert found == pytest.approx(expected, rel=1e-6)
    assert recorded == [IMAGES // 4]
    assert "no_graphs" not in engine.describe()


def test_a_run_may_be_started_without_graphs() -> None:
    training = fresh("pgd-dom-re")
    engine = engine_for(training, without_graphs="a reason")
    assert type(engine) is Engine
    assert engine.describe()["no_graphs"] == "a reason"


@pytest.mark.parametrize(("asked", "why"), [("", "it has trained without so far"), ("1", None)])
def test_a_run_that_was_trained_without_graphs_goes_on_so(
    monkeypatch: pytest.MonkeyPatch, asked: str, why: str | None
) -> None:
    monkeypatch.setenv("DOMCLI_PLAIN", asked)
    training = fresh("pgd-dom-re")
    training.device = torch.device("cuda")
    engine = engine_for(training, Computation(graphs=False))
    assert type(engine) is Engine
    assert engine.describe().get("no_graphs") == why


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
