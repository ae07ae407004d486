"""Epochs of a partition: each is above all that were given before, also by a log that has lost its consumers."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.adapters.nats.fencing import following


def stream(generation: int = 1) -> Any:
    return cast("Any", SimpleNamespace(record=SimpleNamespace(generation=generation)))


def at(monkeypatch: pytest.MonkeyPatch, milliseconds: int) -> None:
    monkeypatch.setattr("services.adapters.nats.fencing.machine.wall_ns", lambda: milliseconds * 1_000_000)


def test_an_epoch_is_above_those_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, 1_000)
    assert following(stream(), [3, 5_000]) == 5_001


def test_an_epoch_is_above_those_that_were_lost_with_their_consumers(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, 1_000)
    before = following(stream(), [])
    at(monkeypatch, 1_001)
    assert following(stream(), []) > before


def test_a_new_generation_is_above_all_epochs_of_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, 4_000_000_000_000)
    before = following(stream(1), [])
    at(monkeypatch, 0)
    assert following(stream(2), []) > before
