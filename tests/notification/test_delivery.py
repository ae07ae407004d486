"""From the log to the clients of an instance, with everything between lost now and then."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fanout.error_codes import CloseCode
from fanout.ids import new_message_id
from fanout.ports.log import StoredEvent
from services.notification import write_queue
from tests.support.harness import Client, Harness
from tests.support.observing import until


async def test_what_is_posted_after_auth_ok_arrives_in_order(harness: Harness) -> None:
    await harness.create("general", "alice", "bob")
    instance = await harness.add_instance("notif-1")
    alice = await harness.connect(instance, "alice")
    for number in range(50):
        await harness.say("general", str(number))
    await until(lambda: alice.texts() == [str(number) for number in range(50)])
    assert [frame["part"] for frame in alice.of_type("message.new")] == [alice.frames[1]["part"]] * 50


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
async def test_lost_batches_show_and_are_read_from_the_log(harness: Harness, share: float) -> None:
    channels = [f"channel-{number}" for number in range(8)]
    for channel in channels:
        await harness.create(channel, "alice", "bob")
    first, second = [await harness.add_instance(name) for name in ("notif-1", "notif-2")]
    alice, bob = await harness.connect(first, "alice"), await harness.connect(second, "bob")
    harness.bus.prefix, harness.bus.share = "instance.events.", share
    for number in range(200):
        await harness.say(channels[number % 8], str(number))
    for client in (alice, bob):
        await until(lambda who=client: len(who.texts()) >= 200, "everything delivered")  # type: ignore[misc]
        assert sorted(map(int, client.texts())) == list(range(200))
        for channel in channels:
            mine = [frame["seq"] for frame in client.of_type("message.new") if frame["channel_id"] == channel]
            assert mine == sorted(set(mine))
    assert harness.bus.lost > 0


@pytest.mark.parametrize("share", [0.0, 0.5])
async def test_replies_reach_the_members_of_the_channel_in_its_order(harness: Harness, share: float) -> None:
    """Also where batches are lost, and read from the log."""
    thread = new_message_id()
    await harness.create("general", "alice")
    await harness.create("random", "bob")
    instance = await harness.add_instance("notif-1")
    alice, bob = await harness.connect(instance, "alice"), await harness.connect(instance, "bob")
    harness.bus.prefix, harness.bus.share = "instance.events.", share
    kinds: list[dict[str, Any]] = [{}, {"thread_id": thread}, {"thread_id": thread, "also_send_to_channel": True}]
    for number in range(60):
        await harness.say("general", str(number), **kinds[number % 3])

    def received() -> list[dict[str, Any]]:
        return [frame for frame in alice.frames if "message" in frame]

    await until(lambda: len(received()) >= 60)
    assert [frame["message"]["text"] for frame in received()] == [str(number) for number in range(60)]
    assert [frame["type"] for frame in received()] == ["message.new", "thread.reply", "message.new"] * 20
    assert {frame["thread_id"] for frame in alice.of_type("thread.reply")} == {thread}
    assert not [frame for frame in bob.frames if "message" in frame]


async def test_a_lost_last_batch_is_noticed_by_the_mark(harness: Harness) -> None:
    await harness.create("general", "alice")
    instance = await harness.add_instance("notif-1")
    alice = await harness.connect(instance, "alice")
    harness.bus.prefix, harness.bus.share = "instance.events.", 1.0
    await harness.say("general", "lost on the way")
    await until(lambda: harness.bus.lost >= 1)
    harness.bus.share = 0.0
    await until(lambda: alice.texts() == ["lost on the way"])


async def test_a_batch_for_many_readers_leaves_the_loop_its_turns(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_queue, "MOST_WAITING", 20)
    monkeypatch.setattr(write_queue, "SOCKETS_AT_ONCE", 5)
    users = [f"user-{number}" for number in range(10)]
    await harness.create("general", *users)
    instance = await harness.add_instance("notif-1")
    clients = [await harness.connect(instance, user) for user in users]
    turns = 0
    when_written: list[int] = []

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    def write(frames: bytes) -> None:
        when_written.append(turns)
        Client.write(clients[0], frames)

    monkeypatch.setattr(clients[0], "write", write)
    counting = asyncio.create_task(count_turns())
    await asyncio.gather(*(harness.say("general", str(number)) for number in range(30)))
    for client in clients:
        await until(lambda who=client: len(who.texts()) == 30)  # type: ignore[misc]
    counting.cancel()
    assert len(set(when_written)) >= 30 * len(users) // 20 // 2


async def test_a_long_gap_closes_nobody_who_reads(harness: Harness) -> None:
    await harness.create("general", "alice")
    instance = await harness.add_instance("notif-1", budget=64 * 1024)
    alice = await harness.connect(instance, "alice")
    harness.bus.prefix, harness.bus.share = "instance.events.", 1.0
    for number in range(400):
        await harness.say("general", f"{number} {'x' * 1000}")
    await until(lambda: harness.bus.lost >= 1)
    harness.bus.share = 0.0
    await until(lambda: len(alice.texts()) == 400 or alice.close_code is not None)
    assert alice.close_code is None
    assert [int(text.split()[0]) for text in alice.texts()] == list(range(400))


async def test_a_lost_membership_event_is_repaired_too(harness: Harness) -> None:
    await harness.create("general", "bob")
    instance = await harness.add_instance("notif-1")
    alice = await harness.connect(instance, "alice")
    harness.bus.prefix, harness.bus.share = "instance.events.", 1.0
    await harness.join("general", "alice")
    await until(lambda: harness.bus.lost >= 1)
    harness.bus.share = 0.0
    await until(lambda: bool(alice.of_type("member.joined")))
    await harness.say("general", "welcome")
    await until(lambda: alice.texts() == ["welcome"])
    await harness.leave("general", "alice")
    await until(lambda: bool(alice.of_type("member.left")))
    await harness.say("general", "gone")
    assert (await harness.connect(instance, "bob")).frames
    assert alice.texts() == ["welcome"]


async def test_heartbeats_tell_how_far_delivery_has_come(harness: Harness) -> None:
    await harness.create("general", "alice")
    instance = await harness.add_instance("notif-1")
    alice = await harness.connect(instance, "alice")
    seq = await harness.say("general", "hello")

    def newest() -> int:
        alice.send("heartbeat", state="active")
        return max((frame["seq"] for frame in alice.of_type("heartbeat.ok")), default=0)

    await until(lambda: newest() >= seq, "the heartbeat reaches the message, quiet partitions included")


async def test_a_slow_reader_is_closed_and_the_others_get_everything(harness: Harness) -> None:
    await harness.create("general", "alice", "bob")
    instance = await harness.add_instance("notif-1", budget=64 * 1024)
    alice, bob = [await harness.connect(instance, user) for user in ("alice", "bob")]
    bob.reading = False
    for number in range(40):
        await harness.say("general", f"{number} {'x' * 4000}")
    await until(lambda: len(alice.texts()) == 40)
    assert bob.close_code == 4413
    assert bob.stalled <= 64 * 1024


async def test_a_slow_reader_loses_typing_before_it_loses_the_connection(harness: Harness) -> None:
    await harness.create("general", "alice", "bob")
    instance = await harness.add_instance("notif-1", budget=64 * 1024)
    alice, bob = [await harness.connect(instance, user) for user in ("alice", "bob")]
    bob.reading, bob.stalled = False, 40 * 1024
    alice.send("typing.start", channel_id="general")
    alice.send("ping")
    await until(lambda: bool(alice.of_type("pong")))
    assert bob.stalled == 40 * 1024
    assert bob.close_code is None


async def test_a_flood_of_typing_is_passed_on_in_part(harness: Harness) -> None:
    await harness.create("general", "alice", "bob")
    instance = await harness.add_instance("notif-1")
    alice, bob = [await harness.connect(instance, user) for user in ("alice", "bob")]
    for _ in range(60):
        alice.send("typing.start", channel_id="general")
    alice.send("ping")
    await until(lambda: bool(alice.of_type("pong")))
    assert 1 <= len(bob.of_type("typing")) <= 20
    assert bob.close_code is None


async def test_a_full_instance_sends_clients_elsewhere(harness: Harness) -> None:
    instance = await harness.add_instance("notif-1", capacity=1)
    assert (await harness.connect(instance, "alice")).close_code is None
    assert (await harness.connect(instance, "bob")).close_code == 1013


async def test_no_session_and_no_presence_is_left_when_clients_go(harness: Harness) -> None:
    await harness.create("general", "alice")
    instance = await harness.add_instance("notif-1")
    alice = await harness.connect(instance, "alice")
    alice.hang_up()
    await instance.registry.empty.wait()
    await until(lambda: not harness.workers[0].users_on("notif-1"), "the table lets go")
    assert await harness.presence.connections_of("alice") == []


async def test_one_reading_of_the_log_repairs_the_gaps_of_all_waiting_batches(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await harness.create("general", "alice")
    instance = await harness.add_instance("notif-1")
    alice = await harness.connect(instance, "alice")
    readings: list[tuple[int, int]] = []
    read, may_read = harness.log.read, asyncio.Event()

    async def slowly(stream: str, *, after: int, upto: int, part: int | None = None) -> AsyncIterator[StoredEvent]:
        readings.append((after, upto))
        await may_read.wait()
        async for event in read(stream, after=after, upto=upto, part=part):
            yield event

    monkeypatch.setattr(harness.log, "read", slowly)
    harness.bus.prefix = "instance.events."
    for number in range(60):
        harness.bus.share = float(number % 2 == 0)
        await harness.say("general", str(number))
        await until(lambda: harness.workers[0]._engine.stats()["pending_events"] == 0)
        await asyncio.sleep(0.005)
    may_read.set()
    harness.bus.share = 0.0
    await until(lambda: len(alice.texts()) >= 60, "everything delivered")
    assert alice.texts() == [str(number) for number in range(60)]
    assert len(readings) <= 3


async def test_a_session_that_ends_is_told_of_no_delivery(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The frames that wait in its socket are read after its last event was delivered."""

    async def stay_open(_code: int, _reason: str) -> None:
        pass

    await harness.create("general", "alice", "bob")
    await harness.add_worker("worker-1")
    instance = await harness.add_instance("notif-1")
    alice, bob = await harness.connect(instance, "alice"), await harness.connect(instance, "bob")
    monkeypatch.setattr(alice, "close", stay_open)
    (session,) = instance.registry.sessions_of("alice")
    session.end(CloseCode.HEARTBEAT_TIMEOUT, "no heartbeat in time")
    await harness.say("general", "hello")
    await until(lambda: bob.texts() == ["hello"])
    alice.send("heartbeat")
    await until(lambda: session not in instance.registry or bool(alice.of_type("heartbeat.ok")), "read")
    assert (alice.texts(), alice.of_type("heartbeat.ok")) == ([], [])
