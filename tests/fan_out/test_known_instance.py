"""When a worker asks an instance for its presence set, and which incarnation of it counts."""

import asyncio

from fanout.workers import PresenceChange, PresenceDigest, PresenceSetPage
from services.fan_out.known_instance import (
    ASK_AGAIN_AFTER_S,
    INSTANCE_UNREACHABLE_AFTER_S,
    MISMATCHES_BEFORE_REPAIR,
    KnownInstance,
)

DIGEST = PresenceDigest("notif-1", "1", 2, 3)


def _loaded() -> KnownInstance:
    return KnownInstance("1", heard_at=0.0, loaded=True)


def test_one_that_is_not_loaded_is_due_until_it_is_asked() -> None:
    instance = KnownInstance("1", heard_at=0.0)
    assert instance.is_due(0.0)
    instance.ask("7", 10.0, contact=1)
    assert not instance.is_due(10.0 + ASK_AGAIN_AFTER_S)
    assert instance.is_due(10.1 + ASK_AGAIN_AFTER_S), "no page came"


def test_each_request_in_a_row_waits_twice_as_long_for_its_first_page() -> None:
    instance, now = KnownInstance("1", heard_at=0.0), 0.0
    for patience in (1, 2, 4, 8, 16, 16):
        instance.ask("7", now, contact=1)
        assert not instance.is_due(now + patience)
        now += patience + 0.1
        assert instance.is_due(now)
    instance.end_transfer()
    instance.ask("8", now, contact=1)
    assert instance.is_due(now + 1.1)


def test_one_that_is_heard_after_a_silence_is_asked_at_once() -> None:
    instance = KnownInstance("1", heard_at=0.0)
    for now in (0.0, 1.1, 3.2):
        instance.ask("7", now, contact=1)
    instance.hear(DIGEST, INSTANCE_UNREACHABLE_AFTER_S + 1.5, agrees=False)
    assert instance.is_due(INSTANCE_UNREACHABLE_AFTER_S + 1.5)
    instance.ask("8", INSTANCE_UNREACHABLE_AFTER_S + 1.5, contact=1)
    assert not instance.is_due(INSTANCE_UNREACHABLE_AFTER_S + 3.4)


def test_one_that_was_heard_all_the_time_is_given_its_time() -> None:
    instance = KnownInstance("1", heard_at=0.0)
    for now in (0.0, 1.1, 3.2):
        instance.hear(DIGEST, now, agrees=False)
        instance.ask("7", now, contact=1)
    instance.hear(DIGEST, 3.2 + INSTANCE_UNREACHABLE_AFTER_S, agrees=False)
    assert not instance.is_due(3.2 + INSTANCE_UNREACHABLE_AFTER_S)


def test_one_whose_pages_have_come_is_not_due() -> None:
    instance = KnownInstance("1", heard_at=0.0)
    instance.ask("7", 0.0, contact=1)
    assert instance.transfer is not None
    instance.transfer.add(PresenceSetPage("notif-1", "1", "7", 0, last=True, users=[], announced=0), now=0.0)
    assert not instance.is_due(100.0)


def test_only_differences_in_a_row_lead_to_a_repair() -> None:
    instance = _loaded()
    for _ in range(MISMATCHES_BEFORE_REPAIR - 1):
        instance.hear(DIGEST, 1.0, agrees=False)
    assert not instance.is_due(1.0)
    instance.hear(DIGEST, 2.0, agrees=True)
    for _ in range(MISMATCHES_BEFORE_REPAIR):
        assert not instance.is_due(2.0)
        instance.hear(DIGEST, 3.0, agrees=False)
    assert instance.is_due(3.0)


def test_differences_during_a_transfer_do_not_count() -> None:
    instance = _loaded()
    instance.ask("7", 0.0, contact=1)
    for _ in range(2 * MISMATCHES_BEFORE_REPAIR):
        instance.hear(DIGEST, 1.0, agrees=False)
    assert instance.mismatches == 0


def test_a_digest_names_the_incarnation_and_is_a_sign_of_life() -> None:
    instance = KnownInstance("", heard_at=0.0)
    assert not instance.digest_heard
    instance.hear(DIGEST, 5.0, agrees=True)
    assert (instance.incarnation, instance.digest_heard, instance.heard_at) == ("1", True, 5.0)


def test_a_newer_incarnation_replaces_a_known_one() -> None:
    assert KnownInstance("1", 0.0).is_replaced_by("2")
    assert not KnownInstance("2", 0.0).is_replaced_by("1")
    assert not KnownInstance("1", 0.0).is_replaced_by("1")
    assert not KnownInstance("", 0.0).is_replaced_by("1"), "it is that one, as far as anybody knows"


async def test_only_the_newest_agreement_is_waited_for() -> None:
    instance = _loaded()
    earlier, newest = (asyncio.create_task(asyncio.sleep(60)) for _ in range(2))
    instance.await_agreement(earlier)
    instance.await_agreement(newest)
    await asyncio.wait([earlier])
    assert (earlier.cancelled(), newest.done()) == (True, False)
    instance.await_agreement(None)
    await asyncio.wait([newest])
    assert newest.cancelled()


def _hint(number: int) -> PresenceChange:
    return PresenceChange("alice", online=True, instance_id="notif-1", incarnation="1", number=number)


def test_a_hint_counts_where_no_complete_presence_set_contains_it() -> None:
    instance = _loaded()
    assert instance.take(_hint(1))
    instance.ask("7", 1.0, contact=1)
    assert instance.transfer is not None
    instance.transfer.add(PresenceSetPage("notif-1", "1", "7", 0, last=False, users=[], announced=3), 2.0)
    assert instance.take(_hint(2)), "the other pages may not come"
    instance.transfer.add(PresenceSetPage("notif-1", "1", "7", 1, last=True, users=[], announced=3), 3.0)
    assert not instance.take(_hint(3))
    instance.end_transfer()
    assert not instance.take(_hint(3))
    assert instance.take(_hint(4))


def test_the_incarnation_that_is_heard_first_is_the_known_one() -> None:
    instance = KnownInstance("", heard_at=0.0)
    assert instance.hear_incarnation("1")
    assert instance.hear_incarnation("1")
    assert not instance.hear_incarnation("0")
