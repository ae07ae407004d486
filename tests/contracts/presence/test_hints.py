"""The contract of `fanout.ports.presence.Hints`, over every adapter."""

import asyncio

import pytest

from fanout.keys import PRESENCE_CHANGES, PresenceChange
from fanout.ports.presence import Hints
from services.runtime.skipping import HANDLERS_FAILED
from tests.support.observing import until
from tests.support.presence_worlds import AT_LAPTOP, World
from tests.support.reading import PATIENCE_S


@pytest.fixture
def hints(world: World) -> Hints:
    return world.hints


class Heard:
    """Collects hints, and waits for as many as are expected."""

    def __init__(self) -> None:
        self.changes: list[PresenceChange] = []
        self._more = asyncio.Event()

    def __call__(self, change: PresenceChange) -> None:
        self.changes.append(change)
        self._more.set()

    async def until(self, count: int) -> list[PresenceChange]:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.changes) < count:
                self._more.clear()
                await self._more.wait()
        return self.changes


async def test_every_watcher_hears_every_hint_in_order(hints: Hints) -> None:
    first, second = Heard(), Heard()
    watches = [await hints.watch(first), await hints.watch(second)]
    changes = [
        PresenceChange("alice", online=True, instance_id="notif-1"),
        PresenceChange("bob", online=True, instance_id="notif-2"),
        PresenceChange("alice", online=False, instance_id="notif-1"),
    ]
    await hints.announce(changes)
    assert await first.until(3) == changes
    assert await second.until(3) == changes
    for watch in watches:
        await watch.close()


async def test_a_closed_watch_hears_nothing(hints: Hints) -> None:
    closed, open_ = Heard(), Heard()
    watch = await hints.watch(closed)
    other = await hints.watch(open_)
    await watch.close()
    await hints.announce([PresenceChange("alice", online=True, instance_id="notif-1")])
    await open_.until(1)
    assert closed.changes == []
    await other.close()


async def test_a_handler_that_fails_loses_its_hint_and_no_other(hints: Hints) -> None:
    heard = list[PresenceChange]()

    def fail_once(change: PresenceChange) -> None:
        heard.append(change)
        if len(heard) == 1:
            raise LookupError("broken")

    failed = HANDLERS_FAILED.labels(PRESENCE_CHANGES)._value.get()
    watch = await hints.watch(fail_once)
    await hints.announce([PresenceChange("alice", online, "notif-1") for online in (True, False)])
    await until(lambda: [change.online for change in heard] == [True, False])
    assert HANDLERS_FAILED.labels(PRESENCE_CHANGES)._value.get() == failed + 1
    await watch.close()


async def test_connecting_renewing_and_disconnecting_give_no_hint(world: World, hints: Hints) -> None:
    heard = Heard()
    watch = await hints.watch(heard)
    await world.connections.connect(AT_LAPTOP)
    await world.connections.renew([AT_LAPTOP])
    await world.connections.disconnect(AT_LAPTOP, last=True)
    mark = PresenceChange("mark", online=True, instance_id="notif-1")
    await hints.announce([mark])
    assert await heard.until(1) == [mark]
    await watch.close()


async def test_no_hint_is_fine(hints: Hints) -> None:
    await hints.announce([])


async def test_an_open_store_answers(hints: Hints) -> None:
    await hints.ping()
