"""Suspended instances: new ones, those of a worker that was silent, and those that have stopped."""

import pytest

from fanout import Engine, decode_batch
from fanout.workers import WORKER_SILENT_AFTER_S
from services.fan_out import suspensions as module
from services.fan_out.contact import Contact
from services.fan_out.metrics import INSTANCES_SUSPENDED
from services.fan_out.suspensions import Suspensions

LANE = 1


class Rig:
    """A worker with users on one instance, and a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.engine = Engine()
        self.engine.user_online("alice", "notif-1", ["general"])
        self.engine.open_lane(LANE, 1, 10)
        self.contact = Contact(clock=lambda: self.now)
        self.suspensions = Suspensions(self.engine, self.contact)

    def is_heard(self) -> int:
        """The instances hear this worker; returns the number of the contact."""
        self.contact.hear(self.contact.sign())
        number = self.contact.current()
        assert number is not None
        return number

    def gets_events(self, instance: str = "notif-1") -> bool:
        assert (instance in self.suspensions) == self.engine.resume(instance)
        if instance in self.suspensions:
            self.engine.suspend(instance)
        return instance not in self.suspensions

    def marks(self) -> list[tuple[int, int]]:
        """The `prev` and the position of each mark that is sent now."""
        assert self.suspensions.mark()
        return [
            (record.prev, record.seq) for _, batch in self.engine.drain(force=True) for record in decode_batch(batch)
        ]


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.suspensions.know("notif-1")
    return rig


def test_an_instance_gets_no_stored_event_until_it_agrees(rig: Rig) -> None:
    assert not rig.gets_events()
    rig.suspensions.agree("notif-1", rig.is_heard())
    assert rig.gets_events()
    assert rig.suspensions.count() == 0


def test_an_instance_that_does_not_hear_this_worker_cannot_agree(rig: Rig) -> None:
    rig.suspensions.agree("notif-1", None)
    assert not rig.gets_events()
    contact = rig.is_heard()
    rig.now += WORKER_SILENT_AFTER_S
    rig.suspensions.agree("notif-1", contact)
    assert not rig.gets_events()


def test_a_silence_ends_every_agreement(rig: Rig) -> None:
    rig.suspensions.agree("notif-1", rig.is_heard())
    rig.suspensions.follow_contact()
    assert rig.gets_events()
    rig.now += WORKER_SILENT_AFTER_S
    rig.suspensions.follow_contact()
    assert not rig.gets_events()
    rig.suspensions.agree("notif-1", rig.is_heard())
    assert rig.gets_events()


def test_a_silence_that_nobody_saw_ends_every_agreement(rig: Rig) -> None:
    rig.suspensions.agree("notif-1", rig.is_heard())
    rig.suspensions.follow_contact()
    rig.now += WORKER_SILENT_AFTER_S
    again = rig.is_heard()
    rig.suspensions.follow_contact()
    assert not rig.gets_events()
    rig.suspensions.agree("notif-1", again)
    rig.suspensions.follow_contact()
    assert rig.gets_events()


def test_a_suspended_instance_is_told_how_far_the_log_was_routed_and_that_it_lacks_everything_up_to_there(
    rig: Rig,
) -> None:
    assert rig.marks() == [(10, 10)]
    rig.engine.advance(LANE, 12)
    assert rig.marks() == [(12, 12)], "it reads the log from where it is"
    assert not rig.gets_events()
    assert INSTANCES_SUSPENDED._value.get() == 1
    rig.suspensions.agree("notif-1", rig.is_heard())
    rig.engine.advance(LANE, 15)
    assert rig.marks() == [(15, 15)]
    rig.engine.advance(LANE, 16)
    assert rig.marks() == [(15, 16)]


def test_the_incarnation_that_stopped_is_known_while_it_is_suspended(rig: Rig) -> None:
    rig.suspensions.forget("notif-1", stopped="1")
    assert rig.suspensions.has_stopped("notif-1", "1")
    assert not rig.suspensions.has_stopped("notif-1", "2")
    rig.suspensions.forget("notif-2")
    assert not rig.suspensions.has_stopped("notif-2", ""), "a hint names no incarnation"
    rig.suspensions.know("notif-1")
    assert not rig.suspensions.has_stopped("notif-1", "1")


def test_an_instance_that_is_gone_cannot_agree(rig: Rig) -> None:
    contact = rig.is_heard()
    rig.suspensions.forget("notif-1")
    rig.suspensions.agree("notif-1", contact)
    assert not rig.gets_events()
    assert rig.suspensions.count() == 0
    assert not rig.suspensions.mark()


def test_the_longest_suspended_is_resumed_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    rig = Rig()
    for instance in ("a", "b", "a", "c"):
        rig.suspensions.forget(instance)
    assert [instance in rig.suspensions for instance in ("a", "b", "c")] == [True, False, True]
    assert [rig.engine.resume(instance) for instance in ("a", "b", "c")] == [True, False, True]
