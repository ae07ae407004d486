"""Typing: routed by the reader of the channel's partition, dropped under back-pressure alone, and then counted."""

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from fanout import Engine, decode_batch, partition_of
from fanout.events import Typing, encode
from fanout.subjects import typing
from services.fan_out.metrics import TYPING_DROPPED
from services.fan_out.partitions import Partitions
from services.fan_out.publisher import Publisher
from services.fan_out.typing_router import TypingRouter
from services.runtime import tasks as tasks_module
from services.runtime.skipping import MESSAGES_SKIPPED
from services.runtime.tasks import Tasks
from tests.support.faulty import FaultyBus
from tests.support.observing import until

PARTS = 4


class World:
    """A router, with what it is given."""

    def __init__(self) -> None:
        self.bus = FaultyBus()
        self.engine = Engine()
        self.claimed = set(range(PARTS))
        self.publisher = SimpleNamespace(congested=False, poked=0)
        self.publisher.poke = self._poke
        self.engine.user_online("alice", "notif-1", ["general"])
        self.engine.user_online("bob", "notif-2", ["general"])
        partitions = SimpleNamespace(is_claimed=lambda part: part in self.claimed)
        self.router = TypingRouter(
            self.engine, self.bus, cast("Partitions", partitions), cast("Publisher", self.publisher), PARTS
        )

    def _poke(self) -> None:
        self.publisher.poked += 1

    async def hear(self, payload: bytes, channel: str = "general") -> None:
        await self.bus.arrive(typing(channel), payload)

    def routed(self) -> dict[str, list[bytes]]:
        return {to: [record.event for record in decode_batch(batch)] for to, batch in self.engine.drain(force=True)}


NOTICE = encode(Typing("alice", "notif-1", typing=True))


@pytest.fixture
async def world() -> World:
    world = World()
    await world.router.listen()
    return world


async def test_goes_to_the_other_instances_of_the_channel_and_not_to_the_origin(world: World) -> None:
    await world.hear(NOTICE)
    assert world.routed() == {"notif-2": [b'{"type":"typing","channel_id":"general","user_id":"alice","typing":true}']}
    assert world.publisher.poked == 1


async def test_is_routed_by_the_reader_of_the_channels_partition_alone(world: World) -> None:
    world.claimed.discard(partition_of("general", PARTS))
    dropped = TYPING_DROPPED._value.get()
    world.publisher.congested = True
    await world.hear(NOTICE)
    assert world.routed() == {}
    assert TYPING_DROPPED._value.get() == dropped  # another worker routes it, or counts it


async def test_nobody_to_tell_needs_no_publication(world: World) -> None:
    await world.hear(NOTICE, "empty")
    assert world.publisher.poked == 0


async def test_is_dropped_and_counted_while_there_is_back_pressure(world: World) -> None:
    dropped = TYPING_DROPPED._value.get()
    world.publisher.congested = True
    await world.hear(NOTICE)
    assert world.routed() == {}
    world.publisher.congested = False
    await world.hear(NOTICE)
    assert list(world.routed()) == ["notif-2"]
    assert TYPING_DROPPED._value.get() == dropped + 1


@pytest.mark.parametrize("payload", [b"", b"{}", b"[" * 100_000, encode(Typing("a b", "notif-1", typing=True))])
async def test_what_is_no_notice_is_skipped_and_counted(world: World, payload: bytes) -> None:
    skipped = MESSAGES_SKIPPED.labels("typing")._value.get()
    await world.hear(payload)
    await world.hear(NOTICE, "not an id")
    assert world.routed() == {}
    assert MESSAGES_SKIPPED.labels("typing")._value.get() == skipped + 2


async def test_listening_goes_on_trying_while_the_bus_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_module, "FIRST_DELAY_S", 0.001)
    world = World()
    world.bus.down = True
    listening = asyncio.create_task(world.router.listen())
    await asyncio.sleep(0.01)
    assert not listening.done()
    world.bus.down = False
    await listening
    await world.hear(NOTICE)
    assert list(world.routed()) == ["notif-2"]


async def test_is_routed_while_a_batch_is_on_its_way() -> None:
    world = World()
    async with Tasks(lambda error: pytest.fail(str(error))) as tasks:
        publisher = Publisher(world.engine, world.bus)
        partitions = cast("Partitions", SimpleNamespace(is_claimed=lambda _: True))
        await TypingRouter(world.engine, world.bus, partitions, publisher, PARTS).listen()
        tasks.start(publisher.run(), "publisher")
        world.bus.blocked = True
        world.engine.route("general", b"{}")
        settled = asyncio.create_task(publisher.settle())
        await until(lambda: world.bus.offered == 1)
        await world.hear(NOTICE)
        world.bus.blocked = False
        await settled
        await publisher.settle()
    told = [record.event for _, batch in world.bus.published for record in decode_batch(batch)]
    assert any(b'"type":"typing"' in event for event in told)
