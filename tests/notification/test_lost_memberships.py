"""A batch is lost that holds a change of a membership and the messages after it."""

import asyncio
from collections.abc import AsyncGenerator

from fanout.ports.log import StoredEvent
from tests.support.harness import Client, Harness
from tests.support.observing import until


async def _published(harness: Harness) -> None:
    await until(lambda: harness.workers[0]._engine.stats()["pending_events"] == 0)
    await asyncio.sleep(0.05)


async def _lose(harness: Harness, change: str) -> Client:
    """Lose the change of alice's membership and message 1, while the inbox repairs a gap of another lane; alice."""
    instance = await harness.add_instance("notif-1")
    alice, bob = [await harness.connect(instance, user) for user in ("alice", "bob")]
    read, may_read = harness.log.read, asyncio.Event()

    async def slowly(stream: str, *, after: int, upto: int, part: int | None = None) -> AsyncGenerator[StoredEvent]:
        await may_read.wait()
        async for event in read(stream, after=after, upto=upto, part=part):
            yield event

    harness.log.read = slowly  # type: ignore[method-assign]
    harness.bus.prefix = "instance.events."
    for share, text in ((1.0, "a"), (0.0, "b")):
        harness.bus.share = share
        await harness.say("other", text)
        await _published(harness)
    harness.bus.share = 1.0
    await (harness.join if change == "join" else harness.leave)("general", "alice")
    await harness.say("general", "1")
    await _published(harness)
    harness.bus.share = 0.0
    await harness.say("general", "2")
    await _published(harness)
    harness.workers[0]._engine.mark()  # as each second: it would show the gap of the memberships, but after 2
    for text in "345":
        await harness.say("general", text)
    await _published(harness)
    may_read.set()
    await until(lambda: bob.texts() == ["a", "b", *"12345"])
    return alice


async def test_who_joined_gets_all_messages_since(harness: Harness) -> None:
    await harness.create("general", "bob")
    await harness.create("other", "bob")
    alice = await _lose(harness, "join")
    assert alice.texts() == list("12345")
    assert len(alice.of_type("member.joined")) == 1


async def test_who_left_gets_none_of_them(harness: Harness) -> None:
    await harness.create("general", "bob", "alice")
    await harness.create("other", "bob")
    alice = await _lose(harness, "leave")
    assert alice.texts() == []
    assert len(alice.of_type("member.left")) == 1
