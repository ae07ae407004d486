"""Clients that were away for less than two minutes get every message that they missed, once and in order."""

import asyncio
from typing import Any

from services.notification.metrics import LOG_EVENTS_READ
from tests.support.harness import Client, Harness
from tests.support.observing import until
from tests.support.resuming import heartbeat, leave, point_after, resumed


def complete(client: Client) -> dict[str, Any]:
    return client.of_type("catchup.complete")[0]


async def say_many(harness: Harness, channel: str, numbers: range) -> list[int]:
    return [await harness.say(channel, str(number)) for number in numbers]


def numbers(client: Client) -> list[int]:
    return [int(text) for text in client.texts()]


async def test_what_was_posted_while_a_client_was_away_comes_once_and_then_what_is_live(harness: Harness) -> None:
    await harness.create("general", "alice")
    await harness.create("secret", "bob")
    instance = await harness.add_instance("notif-1")
    point = await leave(await harness.connect(instance, "alice"))
    for number in range(3):
        await harness.say("general", str(number))
        await harness.say("secret", "hidden")
    alice = await resumed(harness, instance, "alice", resume=point)
    assert alice.frames[0]["seq"] == point["seq"]
    assert numbers(alice) == [0, 1, 2]
    assert complete(alice)["tier"] == 1
    assert complete(alice)["last_event_seq"] == await harness.log.last_seq("MESSAGES")
    await harness.say("general", "3")
    await until(lambda: numbers(alice) == [0, 1, 2, 3], "live")
    assert [frame["type"] for frame in alice.frames] == [
        "auth.ok", *["message.new"] * 3, "catchup.complete", "message.new"
    ]  # fmt: skip


async def test_the_frames_are_those_that_were_live(harness: Harness) -> None:
    await harness.create("general", "alice")
    instance = await harness.add_instance("notif-1")
    stays = await harness.connect(instance, "alice")
    point = await leave(await harness.connect(instance, "alice"))
    await harness.say("general", "hé \u2028")
    await until(lambda: bool(stays.texts()), "live")
    alice = await resumed(harness, instance, "alice", resume=point)
    assert alice.of_type("message.new") == stays.of_type("message.new")


async def test_heartbeats_during_a_replay_say_what_was_given_and_the_rest_is_resumed(harness: Harness) -> None:
    """Scenario 2."""
    await harness.create("general", "alice")
    instance = await harness.add_instance("notif-1")
    point = await leave(await harness.connect(instance, "alice"))
    await say_many(harness, "general", range(5_000))
    alice = Client("alice", resume=point)
    alice.reading = False
    harness.open(instance, alice)
    while len(alice.texts()) < 1_000:
        await until(lambda: bool(alice.stalled), "more comes")
        alice.send("heartbeat")
        alice.read_on(stop_again=True)
    cut = point_after(alice.frames)
    assert len(alice.of_type("heartbeat.ok")) >= 1
    alice.hang_up()
    given = numbers(alice)
    assert given == list(range(len(given)))
    assert 1_000 <= len(given) < 5_000
    again = await resumed(harness, instance, "alice", resume=cut)
    assert given + numbers(again) == list(range(5_000))
    assert all(frame["seq"] <= given[-1] + 1 for frame in alice.of_type("heartbeat.ok"))


async def test_each_client_gets_its_own_channels_and_the_log_is_read_once(harness: Harness) -> None:
    users = [f"user-{number}" for number in range(40)]
    for user in users:
        await harness.create(f"of-{user}", user)
    await harness.create("general", *users)
    instance = await harness.add_instance("notif-1")
    points = [await leave(client) for client in [await harness.connect(instance, user) for user in users]]
    for number in range(20):
        await harness.say("general", f"general {number}")
        for user in users:
            await harness.say(f"of-{user}", f"{user} {number}")
    before = LOG_EVENTS_READ._value.get()
    clients = await asyncio.gather(
        *(resumed(harness, instance, user, resume=point) for user, point in zip(users, points, strict=True))
    )
    for user, client in zip(users, clients, strict=True):
        expected = [text for number in range(20) for text in (f"general {number}", f"{user} {number}")]
        assert client.texts() == expected
    assert LOG_EVENTS_READ._value.get() - before <= 20 * 41 * 2  # pages end behind what is needed


async def test_live_messages_that_come_during_a_replay_follow_it_once(harness: Harness) -> None:
    await harness.create("general", "alice")
    instance = await harness.add_instance("notif-1", budget=64 * 1024)
    point = await leave(await harness.connect(instance, "alice"))
    await say_many(harness, "general", range(1_000))
    alice = Client("alice", resume=point)
    alice.reading = False
    harness.open(instance, alice)
    said = 1_000
    while not alice.of_type("catchup.complete"):
        await harness.say("general", str(said))
        said += 1
        alice.read_on(stop_again=said < 3_000)
    alice.read_on()
    await until(lambda: numbers(alice) == list(range(said)), "all came")
    assert alice.close_code is None


async def test_partitions_that_run_apart_are_resumed_each_from_its_own_point(harness: Harness) -> None:
    await harness.create("general", "alice")
    await harness.create("random", "alice")
    instance = await harness.add_instance("notif-1")
    alice = await harness.connect(instance, "alice")
    await say_many(harness, "general", range(5))
    await until(lambda: len(alice.texts()) == 5, "live")
    point = await leave(alice)
    assert list(point["parts"].values()) == [max(point["parts"].values())]
    await say_many(harness, "random", range(5, 8))
    assert numbers(await resumed(harness, instance, "alice", resume=point)) == [5, 6, 7]
    one_number = {"last_event_seq": max(point["parts"].values()) - 2}
    assert numbers(await resumed(harness, instance, "alice", **one_number)) == [3, 4, 5, 6, 7]


async def test_a_client_that_missed_nothing_is_told_so(harness: Harness) -> None:
    await harness.create("general", "alice")
    instance = await harness.add_instance("notif-1")
    point = await leave(await harness.connect(instance, "alice"))
    alice = await resumed(harness, instance, "alice", resume=point)
    assert [frame["type"] for frame in alice.frames] == ["auth.ok", "catchup.complete"]
    assert complete(alice)["tier"] == 1
    assert await heartbeat(alice) == complete(alice)["last_event_seq"]
