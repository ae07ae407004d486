import asyncio
from typing import Any

import pytest

from fanout.errors import OutcomeUnknown, Unavailable
from fanout.keys import PresenceChange
from fanout.ports.presence import Hints, Leases
from tests.simulation.hosts import HOST
from tests.simulation.world import World
from tests.support.simulated import client_of, in_world

WATCHES_AGAIN_S = 5.0


class Watching:
    """A process that announces, and one that watches.

    Attributes:
        got: the user of each hint that the other one heard.
    """

    def __init__(self, world: World) -> None:
        self.got: list[str] = []
        self.sender, self._ports = client_of(world, "sender")
        self.reader, self._readers = client_of(world, "reader")
        (self.link,) = world.servers.network.links_of("redis", "reader")
        self.heard_on: set[str] = set()

    async def watch(self) -> Any:
        return await self.reader.start(self._readers[Hints].watch(self._take), "watching")

    async def announce(self, user: str) -> None:
        change = PresenceChange(user, online=True, instance_id="instance9")
        await self.sender.start(self._ports[Hints].announce([change]), "announcing")
        await asyncio.sleep(0.5)

    def _take(self, change: PresenceChange) -> None:
        if change.instance_id == "instance9":
            self.got.append(change.user_id)
            self.heard_on.add(HOST.get().name)


def test_a_hint_is_heard_in_the_process_that_watches() -> None:
    async def work(world: World) -> None:
        watching = Watching(world)
        await watching.watch()
        await watching.announce("one")
        assert (watching.got, watching.heard_on) == (["one"], {"reader"})

    in_world(work)


def test_hints_are_lost_until_the_watch_has_subscribed_again() -> None:
    async def work(world: World) -> None:
        watching = Watching(world)
        await watching.watch()
        await watching.announce("one")
        watching.link.cut()
        await watching.announce("two")
        watching.link.repair()
        await asyncio.sleep(WATCHES_AGAIN_S)
        await watching.announce("three")
        assert watching.got == ["one", "three"]

    in_world(work)


def test_a_watch_that_was_broken_often_hears_each_hint_once() -> None:
    async def work(world: World) -> None:
        watching, before = Watching(world), len(world.servers.presence._hints._subscriptions)
        await watching.watch()
        for seconds in (0.0, 0.01, 3.0):
            watching.link.cut()
            await asyncio.sleep(seconds)
            watching.link.repair()
        await asyncio.sleep(WATCHES_AGAIN_S)
        await watching.announce("one")
        assert watching.got == ["one"]
        assert len(world.servers.presence._hints._subscriptions) == before + 1

    in_world(work)


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_watch_that_was_closed_hears_nothing_and_subscribes_no_more(*, is_cut: bool) -> None:
    async def work(world: World) -> None:
        watching, before = Watching(world), len(world.servers.presence._hints._subscriptions)
        watch = await watching.watch()
        if is_cut:
            watching.link.cut()
        await watching.reader.start(watch.close(), "closing")
        if is_cut:
            watching.link.repair()
        await asyncio.sleep(WATCHES_AGAIN_S)
        await watching.announce("one")
        assert watching.got == []
        assert len(world.servers.presence._hints._subscriptions) == before

    in_world(work)


def test_a_process_that_was_killed_hears_nothing() -> None:
    async def work(world: World) -> None:
        watching = Watching(world)
        await watching.watch()
        world.loop.kill(watching.reader)
        await watching.announce("one")
        assert watching.got == []

    in_world(work)


def test_who_cannot_reach_it_cannot_begin_to_watch() -> None:
    async def work(world: World) -> None:
        watching, before = Watching(world), len(world.servers.presence._hints._subscriptions)
        watching.link.cut()
        with pytest.raises(Unavailable):
            await watching.watch()
        watching.link.repair()
        await asyncio.sleep(WATCHES_AGAIN_S)
        assert len(world.servers.presence._hints._subscriptions) == before

    in_world(work)


def test_a_call_that_may_have_been_done_is_unavailable_and_no_more_is_known() -> None:
    async def work(world: World) -> None:
        host, ports = client_of(world)
        (link,) = world.servers.network.links_of("redis", "client")
        link.stall()
        for call in (ports[Leases].leases(), ports[Hints].watch(lambda _: None)):
            with pytest.raises(Unavailable) as raised:
                await host.start(call, "calling")
            assert not isinstance(raised.value, OutcomeUnknown)

    in_world(work)
