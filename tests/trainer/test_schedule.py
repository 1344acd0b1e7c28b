"""Learning rates and the warm-up at the exact steps where they change."""

from __future__ import annotations

import pytest

from domcli.settings import DomSettings, TrainSettings
from domcli.trainer.schedule import dom_is_active, fractional_epoch, learning_rate, warmup_ends_with


def test_the_fractional_epoch_ends_at_the_whole_one() -> None:
    assert fractional_epoch(0, 0, 4) == 0.25
    assert fractional_epoch(9, 3, 4) == 10.0


@pytest.mark.parametrize(
    ("t", "expected"), [(0.01, 0.1), (10.0, 0.1), (10.01, 0.01), (15.0, 0.01), (15.01, 0.001), (20.0, 0.001)]
)
def test_piecewise_drops_after_half_and_three_quarters(t: float, expected: float) -> None:
    assert learning_rate(t, TrainSettings(epochs=20, max_lr=0.1)) == pytest.approx(expected)


@pytest.mark.parametrize(("t", "expected"), [(1.0, 0.02), (5.0, 0.1), (10.0, 0.2), (11.0, 0.18), (20.0, 0.0)])
def test_cyclical_rises_to_half_and_falls_to_zero(t: float, expected: float) -> None:
    assert learning_rate(t, TrainSettings(epochs=20, max_lr=0.2, schedule="cyclical")) == pytest.approx(expected)


def test_the_last_step_before_half_already_runs_dom_at_the_full_rate() -> None:
    train, t = TrainSettings(epochs=20), fractional_epoch(9, 15, 16)
    assert dom_is_active(t, DomSettings(), 20)
    assert learning_rate(t, train) == train.max_lr
    assert not dom_is_active(fractional_epoch(9, 14, 16), DomSettings(), 20)


@pytest.mark.parametrize(
    ("epochs", "warmup", "last"), [(20, 0.5, 9), (5, 0.5, 2), (6, 0.5, 2), (10, 1.0, 9), (10, 0.25, 2), (10, 0.0, None)]
)
def test_the_warmup_ends_in_one_epoch(epochs: int, warmup: float, last: int | None) -> None:
    ends = [epoch for epoch in range(epochs) if warmup_ends_with(epoch, DomSettings(warmup=warmup), epochs)]
    assert ends == ([] if last is None else [last])
