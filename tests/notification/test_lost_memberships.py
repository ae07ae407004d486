"""A batch is lost that holds a change of a membership and the messages after it."""

import asyncio
from collections.abc import AsyncGenerator

from fanout.ports.log import Stored
from tests.support.observing import until
from tests.support.platform import Client, Platform


async def _published(house: Platform) -> None:
    await until(lambda: house.workers[0]._engine.stats()["pending_events"] == 0)
    await asyncio.sleep(0.05)


async def _lose(house: Platform, change: str) -> Client:
    """Lose the change of alice's membership and message 1, while the inbox repairs a gap of another lane; alice."""
    instance = await house.add_instance("notif-1")
    alice, bob = [await house.connect(instance, user) for user in ("alice", "bob")]
    read, may_read = house.log.read, asyncio.Event()

    async def slowly(stream: str, *, after: int, upto: int, part: int | None = None) -> AsyncGenerator[Stored]:
        await may_read.wait()
        async for event in read(stream, after=after, upto=upto, part=part):
            yield event

    house.log.read = slowly  # type: ignore[method-assign]
    house.bus.prefix = "instance.events."
    for share, text in ((1.0, "a"), (0.0, "b")):
        house.bus.share = share
        await house.say("other", text)
        await _published(house)
    house.bus.share = 1.0
    await (house.join if change == "join" else house.leave)("general", "alice")
    await house.say("general", "1")
    await _published(house)
    house.bus.share = 0.0
    await house.say("general", "2")
    await _published(house)
    house.workers[0]._engine.mark()  # as each second: it would show the gap of the memberships, but after 2
    for text in "345":
        await house.say("general", text)
    await _published(house)
    may_read.set()
    await until(lambda: bob.texts() == ["a", "b", *"12345"])
    return alice


async def test_who_joined_gets_all_messages_since(house: Platform) -> None:
    await house.create("general", "bob")
    await house.create("other", "bob")
    alice = await _lose(house, "join")
    assert alice.texts() == list("12345")
    assert len(alice.of_type("member.joined")) == 1


async def test_who_left_gets_none_of_them(house: Platform) -> None:
    await house.create("general", "bob", "alice")
    await house.create("other", "bob")
    alice = await _lose(house, "leave")
    assert alice.texts() == []
    assert len(alice.of_type("member.left")) == 1
