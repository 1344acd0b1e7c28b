"""Plain steps belong to the run: what was asked for when it was created holds in the queue and when it is resumed."""

from __future__ import annotations

import pytest
from run_directories import created

from domcli import computation, plain, rundir
from domcli.presets import resolve


@pytest.mark.parametrize(("value", "expected"), [(None, False), ("", False), ("0", False), ("1", True), ("yes", True)])
def test_what_was_asked_for_is_kept_with_the_run(monkeypatch, tmp_path, value, expected) -> None:
    if value is None:
        monkeypatch.delenv(plain.VARIABLE, raising=False)
    else:
        monkeypatch.setenv(plain.VARIABLE, value)
    run = created(tmp_path, resolve("pgd-dom-re", quick=True))
    assert run.read_environment()["plain"] is expected


@pytest.mark.parametrize(
    ("kept", "here", "expected"),
    [
        ({"plain": True}, "", True),
        ({"plain": False}, "1", False),
        ({}, "1", True),
        ({}, "", False),
        ({"plain": "yes"}, "", False),
    ],
)
def test_the_trainer_does_as_the_run_was_created(monkeypatch, tmp_path, kept, here, expected) -> None:
    monkeypatch.setenv(plain.VARIABLE, here)
    run = rundir.create(tmp_path, "run", {}, kept)
    plain.as_decided(computation.read(run).plain)
    assert plain.asked_for() is expected
