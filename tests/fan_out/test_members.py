"""Membership changes, from META into the table."""

import asyncio
import threading
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from fanout import Engine, decode_batch
from fanout.events import MemberJoined, MemberLeft, timestamp
from fanout.lanes import Lane
from fanout.membership_versions import now_us
from fanout.ports.log import StoredEvent
from fanout.ports.memberships import Channel
from fanout.streams import META
from fanout.subjects import member_joined
from services.fan_out.members import Members
from services.runtime.membership_order import MembershipOrder
from services.runtime.tasks import Tasks
from tests.support.faulty import FaultyMemberships, faulty_memberships
from tests.support.observing import until

FRESH = now_us()


class Meta:
    """A log of two membership changes."""

    partitions = 1

    def __init__(self, *events: MemberJoined | MemberLeft) -> None:
        self._events = [
            StoredEvent(seq, member_joined(event.channel_id), msgspec.json.encode(event))
            for seq, event in enumerate(events, 1)
        ]

    async def tail(self, _stream: str, *, after: int) -> "Meta":
        assert after == 0
        return self

    async def fetch(self) -> list[StoredEvent]:
        events, self._events = self._events, []
        if not events:
            await asyncio.Event().wait()
        return events

    async def close(self) -> None:
        """Nothing is held."""


class Turns:
    """An engine in which a change of ann waits until the test sets `free`."""

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


class PresenceApplier:
    """Ann is being placed."""

    def __init__(self) -> None:
        self.changed: list[str] = []

    def is_moving(self, user_id: str) -> bool:
        return user_id == "ann"

    def membership_changed(self, user_id: str) -> None:
        self.changed.append(user_id)


class OwnPartitions:
    """This worker reads them all."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        engine.open_lane(Lane(META, 0).number, 1, 0)

    def route(self, lane: Lane, events: Any) -> list[tuple[int, str]]:
        return self.engine.route_stored(lane.spec.kind, lane.number, lane.part, events)

    def is_claimed(self, _part: int) -> bool:
        return True

    def meta_handled(self, _seq: int) -> None:
        """Nobody waits for it."""


def follow(
    engine: Any, meta: Meta, applier: PresenceApplier, order: MembershipOrder, partitions: Any = None
) -> Members:
    """Membership changes on their way into an engine."""
    nobody = SimpleNamespace(is_claimed=lambda _: False, meta_handled=lambda _: None, poke=lambda: None)
    parts = (engine, meta, applier, partitions or nobody, nobody, order)
    return Members(*(cast("Any", each) for each in parts))


@pytest.fixture
async def store() -> AsyncIterator[FaultyMemberships]:
    async with faulty_memberships() as store:
        yield store


@pytest.fixture
def order(store: FaultyMemberships) -> MembershipOrder:
    """The order of a worker that began long ago."""
    return MembershipOrder(store, known_at=0)


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    async with Tasks(lambda error: pytest.fail(str(error))) as running:
        yield running


async def test_a_join_during_a_long_login_waits_beside_the_loop(tasks: Tasks, order: MembershipOrder) -> None:
    turns, applier = Turns(), PresenceApplier()
    for user in ("ann", "ben"):
        turns.engine.user_online(user, "i1", ["old"])
    meta = Meta(
        MemberJoined("e1", "new", "ann", timestamp(), FRESH),
        MemberJoined("e2", "new", "ben", timestamp(), FRESH),
        MemberLeft("e3", "new", "ben", timestamp(), FRESH + 1),
    )
    members = follow(turns, meta, applier, order)
    tasks.start(members.run(0), "members")
    await until(turns.waiting.is_set, "the change waits, and the loop goes on")
    assert applier.changed == ["ann"], "a list that is being loaded now is known to be too old before the wait"
    turns.free.set()
    await until(lambda: members.position == 3)
    assert turns.engine.members("new") == {"i1": ["ann"]}
    assert applier.changed == ["ann", "ben", "ben"]


async def test_an_older_change_after_a_newer_one_changes_nothing_and_is_told_nobody(
    tasks: Tasks, order: MembershipOrder
) -> None:
    engine = Engine()
    engine.user_online("ben", "i1", ["old"])
    meta = Meta(
        MemberJoined("e1", "new", "ben", timestamp(), FRESH + 3),
        MemberLeft("e2", "new", "ben", timestamp(), FRESH + 2),
        MemberLeft("e3", "old", "ben", timestamp(), FRESH + 1),
        MemberJoined("e4", "old", "ben", timestamp(), FRESH),
    )
    members = follow(engine, meta, PresenceApplier(), order, OwnPartitions(engine))
    tasks.start(members.run(0), "members")
    await until(lambda: members.position == 4)
    assert engine.channels("ben") == {"new"}
    records = [record for _, batch in engine.drain(force=True) for record in decode_batch(batch)]
    assert [msgspec.json.decode(record.event)["event_id"] for record in records] == ["e1", "e3"]


async def test_a_change_from_before_the_worker_began_is_applied_as_the_store_holds_it(
    tasks: Tasks, store: FaultyMemberships
) -> None:
    """It was told late, after the table was loaded: the worker never saw the newer change that the list has."""
    await store.create(Channel("c", "c", private=False, created_by="ann", created_at="t"), ["ann", "ben"])
    ended = await store.remove("c", "ann", "t")
    assert ended is not None
    engine = Engine()
    engine.user_online("ann", "i1", [])
    engine.user_online("ben", "i1", ["c"])
    meta = Meta(
        MemberJoined("e1", "c", "ann", "t", ended.version - 1),
        MemberLeft("e2", "c", "ben", "t", (await store.changed_since(0, limit=1))[0].version - 1),
    )
    members = follow(engine, meta, PresenceApplier(), MembershipOrder(store))
    tasks.start(members.run(0), "members")
    await until(lambda: members.position == 2)
    assert engine.members("c") == {"i1": ["ben"]}
