"""A membership that changes while its user is being placed in very many channels does not hold the loop."""

import asyncio
import threading
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from fanout import Engine
from fanout.events import MemberJoined, MemberLeft, timestamp
from fanout.ports.log import Stored
from fanout.subjects import member_joined
from services.fan_out.members import Members
from services.runtime.tasks import Tasks
from tests.support.observing import until


class Meta:
    """A log of two membership changes."""

    partitions = 1

    def __init__(self, *events: MemberJoined | MemberLeft) -> None:
        self._events = [
            Stored(seq, member_joined(event.channel_id), msgspec.json.encode(event))
            for seq, event in enumerate(events, 1)
        ]

    async def tail(self, _stream: str, *, after: int) -> "Meta":
        assert after == 0
        return self

    async def fetch(self) -> list[Stored]:
        events, self._events = self._events, []
        if not events:
            await asyncio.Event().wait()
        return events

    async def close(self) -> None:
        """Nothing is held."""


class Turns:
    """An engine in which whoever changes ann waits until her turn is let go."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.free = threading.Event()
        self.waiting = threading.Event()

    def join(self, user: str, channel: str) -> bool:
        self.waiting.set()
        assert user != "ann" or self.free.wait(10)
        return self.engine.join(user, channel)

    def leave(self, user: str, channel: str) -> bool:
        return self.engine.leave(user, channel)


class Placements:
    """Ann is being placed."""

    def __init__(self) -> None:
        self.changed: list[str] = []

    def is_moving(self, user_id: str) -> bool:
        return user_id == "ann"

    def membership_changed(self, user_id: str) -> None:
        self.changed.append(user_id)


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    async with Tasks(lambda error: pytest.fail(str(error))) as running:
        yield running


async def test_a_join_during_a_long_login_waits_beside_the_loop(tasks: Tasks) -> None:
    turns, placements = Turns(), Placements()
    for user in ("ann", "ben"):
        turns.engine.user_online(user, "i1", ["old"])
    meta = Meta(
        MemberJoined("e1", "new", "ann", timestamp()),
        MemberJoined("e2", "new", "ben", timestamp()),
        MemberLeft("e3", "new", "ben", timestamp()),
    )
    others = SimpleNamespace(holds=lambda _: False, meta_handled=lambda _: None, poke=lambda: None)
    members = Members(*(cast("Any", each) for each in (turns, meta, placements, others, others)))
    tasks.start(members.run(0), "members")
    await until(turns.waiting.is_set, "the change waits, and the loop goes on")
    assert placements.changed == ["ann"], "a list that is being loaded now is known to be too old before the wait"
    turns.free.set()
    await until(lambda: members.position == 3)
    assert turns.engine.members("new") == {"i1": ["ann"]}
    assert placements.changed == ["ann", "ben", "ben"]
