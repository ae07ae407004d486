"""Suspended instances, and those of them that have stopped."""

import pytest

from fanout import Engine
from services.fan_out import suspensions as module
from services.fan_out.suspensions import Suspensions


def test_a_suspended_instance_gets_no_stored_event_until_it_is_resumed() -> None:
    engine = Engine()
    suspensions = Suspensions(engine)
    suspensions.suspend("notif-1")
    assert "notif-1" in suspensions
    suspensions.resume("notif-1")
    assert "notif-1" not in suspensions
    assert not engine.resume("notif-1"), "the engine has resumed it"


def test_the_incarnation_that_stopped_is_known_while_it_is_suspended() -> None:
    suspensions = Suspensions(Engine())
    suspensions.suspend("notif-1", stopped="1")
    assert suspensions.has_stopped("notif-1", "1")
    assert not suspensions.has_stopped("notif-1", "2")
    suspensions.suspend("notif-2")
    assert not suspensions.has_stopped("notif-2", ""), "a hint names no incarnation"
    suspensions.resume("notif-1")
    assert not suspensions.has_stopped("notif-1", "1")


def test_the_longest_suspended_is_resumed_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    engine = Engine()
    suspensions = Suspensions(engine)
    for instance in ("a", "b", "a", "c"):
        suspensions.suspend(instance)
    assert [instance in suspensions for instance in ("a", "b", "c")] == [True, False, True]
    assert [engine.resume(instance) for instance in ("a", "b", "c")] == [True, False, True]
