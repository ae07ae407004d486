"""Which tier a client gets, by its point, its clock and how much it missed; and what ends a catch-up early."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fanout import Unavailable
from fanout.ports.log import Log
from services.notification.catch_up import tiers
from services.notification.metrics import CATCH_UPS
from tests.support.harness import Client, Harness
from tests.support.observing import until
from tests.support.resuming import leave, resumed


def complete(client: Client) -> dict[str, Any]:
    return client.of_type("catchup.complete")[0]


def numbers(client: Client) -> list[int]:
    return [int(text) for text in client.texts()]


async def say_many(harness: Harness, channel: str, numbers: range) -> list[int]:
    return [await harness.say(channel, str(number)) for number in numbers]


@pytest.mark.parametrize("moved", [timedelta(hours=-5), timedelta(hours=5)])
async def test_a_clock_that_is_off_changes_nothing_for_a_client_with_a_point(
    harness: Harness, moved: timedelta
) -> None:
    """Scenario 9."""
    await harness.create("general", "alice")
    instance = await harness.add_instance("notif-1")
    point = await leave(await harness.connect(instance, "alice"))
    await say_many(harness, "general", range(3))
    last_seen = (datetime.now(UTC) + moved).isoformat()
    alice = await resumed(harness, instance, "alice", resume=point, last_seen=last_seen)
    assert (complete(alice)["tier"], numbers(alice)) == (1, [0, 1, 2])


async def test_a_client_without_a_point_gets_what_was_stored_since_it_was_seen_last(harness: Harness) -> None:
    await harness.create("general", "alice")
    instance = await harness.add_instance("notif-1")
    await say_many(harness, "general", range(3))
    last_seen = (datetime.now(UTC) - timedelta(seconds=5)).isoformat()
    alice = await resumed(harness, instance, "alice", last_seen=last_seen)
    assert (complete(alice)["tier"], numbers(alice)) == (1, [0, 1, 2])


@pytest.mark.parametrize("ago", [timedelta(hours=-5), timedelta(minutes=3), timedelta(days=2)])
async def test_a_client_without_a_point_that_was_away_for_long_or_does_not_know_reads_everything_again(
    harness: Harness, ago: timedelta
) -> None:
    await harness.create("general", "alice")
    instance = await harness.add_instance("notif-1")
    await say_many(harness, "general", range(3))
    alice = await resumed(harness, instance, "alice", last_seen=(datetime.now(UTC) - ago).isoformat())
    assert [frame["type"] for frame in alice.frames] == ["auth.ok", "full_refresh_required", "catchup.complete"]


async def test_more_messages_than_are_replayed_are_another_tier(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiers, "MOST_REPLAYED", 10)
    await harness.create("general", "alice")
    await harness.create("random", "bob")
    instance = await harness.add_instance("notif-1")
    point = await leave(await harness.connect(instance, "alice"))
    await say_many(harness, "general", range(10))
    await say_many(harness, "random", range(10))
    alice = await resumed(harness, instance, "alice", resume=point)
    assert numbers(alice) == list(range(10))
    counted = CATCH_UPS.labels("4", "many")._value.get()
    await harness.say("general", "10")
    alice = await resumed(harness, instance, "alice", resume=point)
    assert [frame["type"] for frame in alice.frames] == ["auth.ok", "full_refresh_required", "catchup.complete"]
    assert CATCH_UPS.labels("4", "many")._value.get() == counted + 1


async def lose(log: Log, stream: str, seq: int) -> None:
    """Let the log notice that it had held an event that it has no more."""
    await log.recall(stream, seq, 1)


async def stalled_replay(harness: Harness) -> tuple[Client, Client]:
    """A client in the middle of a replay, which it does not read on; and another one of its user that is live."""
    await harness.create("general", "alice")
    instance = await harness.add_instance("notif-1", budget=64 * 1024)
    point = await leave(await harness.connect(instance, "alice"))
    await say_many(harness, "general", range(200))
    alice = Client("alice", resume=point)
    alice.reading = False
    other = await harness.connect(instance, "alice")
    harness.open(instance, alice)
    await until(lambda: alice.stalled > 10_000, "the replay has begun")
    return alice, other


@pytest.mark.parametrize("stream", ["MESSAGES", "META"])
async def test_a_log_that_goes_back_ends_a_replay_by_a_full_refresh(harness: Harness, stream: str) -> None:
    alice, _ = await stalled_replay(harness)
    await lose(harness.log, stream, 5_000)
    alice.read_on()
    await until(lambda: bool(alice.of_type("catchup.complete")), "complete")
    assert complete(alice)["tier"] == 4
    assert complete(alice)["last_event_seq"] == await harness.log.last_seq("MESSAGES")
    refreshes = [frame["reason"] for frame in alice.of_type("full_refresh_required")]
    assert set(refreshes) == {"log_reset", "gap"}
    assert len(alice.texts()) < 200
    last = await harness.say("general", "live")
    await until(lambda: alice.frames[-1].get("seq") == last, "live")


async def test_a_point_of_before_the_log_went_back_is_answered_by_a_full_refresh(harness: Harness) -> None:
    await harness.create("general", "alice")
    instance = await harness.add_instance("notif-1")
    await say_many(harness, "general", range(3))
    point = await leave(await harness.connect(instance, "alice"))
    await lose(harness.log, "MESSAGES", 5_000)
    await say_many(harness, "general", range(3))
    for auth in ({"resume": point}, {"last_event_seq": point["seq"]}):
        alice = await resumed(harness, instance, "alice", **auth)
        assert [frame["type"] for frame in alice.frames] == ["auth.ok", "full_refresh_required", "catchup.complete"]
        assert alice.frames[0]["log"] != point["log"]


async def test_a_log_that_is_away_during_a_replay_sends_the_client_away(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, _ = await stalled_replay(harness)

    async def fail(*_arguments: Any) -> int:
        raise Unavailable("away")

    monkeypatch.setattr(harness.log, "last_seq", fail)
    alice.read_on()
    await until(lambda: alice.close_code is not None, "sent away")
    assert alice.close_code == 1013
    assert "retry_after_ms=" in alice.close_reason


async def test_an_error_in_a_catch_up_ends_that_session_alone(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await harness.create("general", "alice", "bob")
    instance = await harness.add_instance("notif-1")
    bob = await harness.connect(instance, "bob")
    monkeypatch.setattr(tiers.Tiers, "catch_up", lambda *_: 1 / 0)
    alice = await resumed(harness, instance, "alice", resume={"seq": 0})
    assert alice.close_code == 1011
    await harness.say("general", "live")
    await until(lambda: bob.texts() == ["live"], "the others are served")


async def test_a_client_that_goes_in_the_middle_of_a_replay_leaves_nothing_behind(harness: Harness) -> None:
    alice, _ = await stalled_replay(harness)
    alice.hang_up()
    await until(lambda: not any("catching" in task.get_name() for task in asyncio.all_tasks()), "its task has ended")


async def test_what_finds_no_room_during_a_catch_up_makes_the_client_read_again(harness: Harness) -> None:
    alice, other = await stalled_replay(harness)
    for number in range(300):  # some 200 bytes each, and half of the budget may be kept
        await harness.log.append("receipts.read.general", RECEIPT % number, msg_id=f"receipt-{number}")
    await until(lambda: len(other.of_type("receipt.read")) == 300, "the instance has come so far")
    alice.read_on()
    await until(lambda: bool(alice.of_type("full_refresh_required")), "told")
    assert complete(alice)["tier"] == 1
    assert numbers(alice) == list(range(200))


RECEIPT = (
    b'{"type":"receipt.read","event_id":"evt_1","channel_id":"general","message_id":"msg_01ARZ3NDEKTSV4RRFFQ69G5FAV",'
    b'"read_by":["user-%d"],"read_at":"2026-02-01T10:00:00.000Z"}'
)
