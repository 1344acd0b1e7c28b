"""CUDA graphs on a GPU: what they compute, what they leave alone, and that the host never waits."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from test_engines import BATCH, IMAGES, PRESETS, fresh, losses_of

from domcli.trainer import device as devices
from domcli.trainer import seeding
from domcli.trainer.engine import Engine
from domcli.trainer.fast import cuda, engine_for
from domcli.trainer.fast.compiled import CompiledNetwork
from domcli.trainer.fast.graphs import record
from domcli.trainer.fast.recorded import RecordingEngine
from domcli.trainer.seeding import Purpose
from domcli.trainer.state import Training
from domcli.trainer.step import learn

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
RECORDED = {"steps": "CUDA graphs"}
LOSSES = [1, 3]
"""Where a meter's sums have those of the natural and the robust loss."""
REMOVING = [preset for preset in PRESETS if preset.endswith("-re")]


@pytest.fixture(autouse=True)
def _as_a_run_does(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the process prepared as a trainer's is, and nothing of earlier trainings in it."""
    backends = torch.backends
    before = backends.cudnn.deterministic, backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32
    gc.collect()
    devices.prepare(torch.device("cuda", 0))
    yield
    backends.cudnn.deterministic, backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32 = before


def on_gpu(preset: str, *overrides: str) -> Training:
    return fresh(preset, *overrides, device="cuda")


def step_of(training: Training, engine: Engine, number: int, *, dom_active: bool = True) -> None:
    epoch, place = divmod(number, IMAGES // BATCH)
    seeding.reseed(0, Purpose.STEP, epoch, place)
    index = seeding.order(IMAGES, 0, epoch)[place * BATCH : (place + 1) * BATCH].to(training.device)
    engine.step(index, 0.05, dom_active)


def state_of(training: Training) -> list[torch.Tensor]:
    record = [training.record.natural, training.record.adversarial, training.meter.sums]
    return [value.clone() for value in (*training.classifier.state_dict().values(), *record)]


@pytest.mark.parametrize("preset", REMOVING)
def test_replayed_steps_have_the_losses_of_plain_ones(preset: str) -> None:
    plain, replayed = on_gpu(preset), on_gpu(preset)
    engine = RecordingEngine(replayed, record)
    expected, found = losses_of(plain, Engine(plain)), losses_of(replayed, engine)
    assert engine.describe() == RECORDED
    assert {size for _, size in engine._recorded} == {BATCH, IMAGES % BATCH}
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize("preset", PRESETS)
def test_all_presets_are_recorded_and_train(preset: str) -> None:
    training = on_gpu(preset, "train.precision=bfloat16")
    engine = RecordingEngine(training, record)
    seen = torch.tensor(losses_of(training, engine))
    assert engine.describe() == RECORDED
    assert seen.isfinite().all()
    assert (seen[:, 6] + seen[:, 7]).sum() > 0


@pytest.mark.parametrize("preset", REMOVING)
def test_compiled_steps_have_the_losses_of_plain_ones(preset: str) -> None:
    plain, compiled = on_gpu(preset), on_gpu(preset)
    engine = RecordingEngine(compiled, record)
    engine.compute(CompiledNetwork(compiled.classifier, [BATCH]), {})
    expected, found = torch.tensor(losses_of(plain, Engine(plain))), torch.tensor(losses_of(compiled, engine))
    # Losses alone: rounding may decide what a pattern is taken for. With PGD the signs of gradients near zero, too.
    expected, found = expected[:, LOSSES], found[:, LOSSES]
    torch.testing.assert_close(found[0], expected[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[:10], expected[:10], rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0.1)


def test_a_long_run_is_settled_and_trains(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cuda, "LONG", 0.0)
    training = on_gpu("pgd-dom-augmix")
    before = state_of(training)
    engine = engine_for(training)
    assert all(torch.equal(one, other) for one, other in zip(before, state_of(training), strict=True))
    assert engine.describe()["network"] in ("compiled", "as written")
    assert "Error" not in engine.describe().get("not_compiled", "")
    assert torch.tensor(losses_of(training, engine)).isfinite().all()


@pytest.mark.parametrize("preset", ["natural-dom-re", "fgsm-dom-re", "pgd-dom-randaugment"])
def test_the_same_seed_gives_the_same_bits(preset: str) -> None:
    states = []
    for _ in range(2):
        training = on_gpu(preset, "train.precision=bfloat16")
        losses_of(training, RecordingEngine(training, record))
        states.append(state_of(training))
    assert all(torch.equal(one, other) for one, other in zip(*states, strict=True))


def test_an_engine_records_after_the_graphs_of_another_are_gone_and_gradients_are_left() -> None:
    for number in range(3):
        training = on_gpu("pgd-dom-re")
        engine = RecordingEngine(training, record)
        step_of(training, engine, number)
        assert any(parameter.grad is not None for parameter in training.optimizer.parameters)
        engine._recorded.clear()
        step_of(training, engine, number)
        assert engine.describe() == RECORDED
        assert training.meter.read().is_finite


def test_recording_leaves_everything_as_it_was() -> None:
    training = on_gpu("pgd-dom-re")
    before, host, device = state_of(training), torch.get_rng_state(), torch.cuda.get_rng_state()
    engine = RecordingEngine(training, record)
    images, labels = engine.batch(torch.arange(BATCH, device="cuda"))
    torch.set_rng_state(host)
    torch.cuda.set_rng_state(device)
    inputs = (torch.arange(BATCH, device="cuda"), images, labels)
    training.lr.fill_(0.05)
    record(partial(learn, training, engine, True), inputs, engine._changed())
    assert all(torch.equal(one, other) for one, other in zip(before, state_of(training), strict=True))
    assert torch.equal(torch.get_rng_state(), host)
    assert torch.equal(torch.cuda.get_rng_state(), device)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_host_never_waits_within_an_epoch(preset: str) -> None:
    training = on_gpu(preset)
    engine = RecordingEngine(training, record)
    for number in range(2):
        step_of(training, engine, number)
    index = torch.arange(BATCH, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        for number in range(3):
            seeding.reseed(0, Purpose.STEP, 9, number)
            engine.step(index, 0.05, dom_active=True)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_gpu_gets_graphs_unless_plain_steps_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    training = on_gpu("pgd-dom-re")
    monkeypatch.delenv("DOMCLI_PLAIN", raising=False)
    assert type(engine_for(training)) is RecordingEngine
    monkeypatch.setenv("DOMCLI_PLAIN", "1")
    assert type(engine_for(training)) is Engine
