"""The last looks: at rest, devices mark channels as read, and users look at threads and at what they have not read."""

import asyncio
from functools import partial
from typing import Any, Final

from tests.simulation.evidence import Broken
from tests.simulation.people import People
from tests.simulation.world import World

MARKED_WITHIN_S: Final = 2.0
"""Seconds within which a channel that a device marks as read is so."""
MARKED_SLOWLY_WITHIN_S: Final = 60.0
"""The same over slow connections: the marks of a session are handled one after the other, in seconds each."""
_RECEIPTS_BEGIN_WITHIN_S: Final = 10.0
"""Seconds within which the receipt of a mark is in the log, over slow connections."""
_MARKS: Final = (0, 0, 2, 8)
"""Which message of a channel may be marked, counted from the newest one."""


async def last_looks(world: World, people: People, within_s: float) -> list[Broken]:
    """Let devices mark channels, and then users look at everything.

    Args:
        world: where they live.
        people: all of them.
        within_s: seconds within which everything that was said is counted.

    Returns:
        what is wrong already: the messages that are not counted by then.
    """
    until = world.loop.time() + within_s
    while lag := await world.servers.asked("nats", world.servers.log.lag):
        if world.loop.time() >= until:
            return [Broken("rest", f"{within_s:g} s after the last messages {lag} events of the log are not handled")]
        await asyncio.sleep(1.0)
    await _mark(world, people)
    await asyncio.gather(*[_look(world, people, user) for user in _users(world)], *_read_threads(world, people))
    await _receipts_are_handled(world)
    return []


async def _mark(world: World, people: People) -> None:
    world.note("last marks")
    begin = world.loop.time()
    for device in people.devices.values():
        for channel in device.catching_up.known.channels:
            if world.draw.happens(0.5):
                device.mark_read(channel, world.draw.choice(_MARKS))
    within_s, pause = (MARKED_SLOWLY_WITHIN_S, 1.0) if world.plan.slow else (MARKED_WITHIN_S, 0.2)
    marks = [entry.about for entry in world.history.of("marks read") if entry.at >= begin]
    while not await _are_read(world, marks):
        if world.loop.time() >= begin + within_s:
            break
        await asyncio.sleep(pause)
    world.note("last looks")


async def _are_read(world: World, marks: list[dict[str, Any]]) -> bool:
    for mark in marks:
        if not await _is_read(world, mark):
            return False
    return True


async def _receipts_are_handled(world: World) -> None:
    """Wait until the receipts that the marks gave are in the log, routed and stored, unless it takes very long."""
    await asyncio.sleep(_RECEIPTS_BEGIN_WITHIN_S if world.plan.slow else MARKED_WITHIN_S)
    until = world.loop.time() + MARKED_SLOWLY_WITHIN_S
    while world.loop.time() < until:
        if not await world.servers.asked("nats", world.servers.log.lag):
            return
        await asyncio.sleep(0.2)


async def _is_read(world: World, mark: dict[str, Any]) -> bool:
    states = partial(world.servers.unread.states, mark["user"], [mark["channel"]])
    (state,) = await world.servers.asked("redis", states)
    return bool(state.pointer.seq >= mark["seq"])


async def _look(world: World, people: People, user: str) -> None:
    await people.conversations.list_channels(user, at_rest=True)
    await people.conversations.count_unread(user)


def _read_threads(world: World, people: People) -> list["asyncio.Future[None]"]:
    """Each thread is read by a user of whom chance decides, member or not."""
    users = _users(world)
    return [
        asyncio.ensure_future(people.conversations.read_thread(user, root, at_rest=True))
        for root in people.conversations.roots
        for user in world.draw.sample(users, min(2, len(users)))
    ]


def _users(world: World) -> list[str]:
    members = {user for channel in world.plan.channels.values() for user in channel}
    return sorted(members | set(world.plan.devices.values()))
