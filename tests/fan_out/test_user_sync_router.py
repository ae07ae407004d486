"""Notices between devices are routed to the user's instances by one worker, also while others are dropped."""

from types import SimpleNamespace
from typing import cast

import pytest

from fanout import Engine, decode_batch, partition_of
from fanout.subjects import user_sync
from fanout.user_sync import ReadSync, encode_user_notice
from services.fan_out.publisher import Publisher
from services.fan_out.user_sync_router import UserSyncRouter
from services.fan_out.worker_group import WorkerGroup
from services.runtime.skipping import MESSAGES_SKIPPED
from tests.support.faulty import FaultyBus

PARTS = 4
NOTICE = encode_user_notice(ReadSync("alice", "general", "", "msg_01ARZ3NDEKTSV4RRFFQ69G5FAV", "t", 7))


class World:
    """A router, with what it is given."""

    def __init__(self) -> None:
        self.bus = FaultyBus()
        self.engine = Engine()
        self.claimed = set(range(PARTS))
        self.pokes: list[None] = []
        for instance in ("notif-1", "notif-2"):
            self.engine.user_online("alice", instance, ["general"])
        self.engine.user_online("bob", "notif-3", ["general"])
        group = SimpleNamespace(is_responsible=lambda part: part in self.claimed)
        publisher = SimpleNamespace(congested=True, poke=lambda: self.pokes.append(None))
        self.router = UserSyncRouter(
            self.engine, self.bus, cast("WorkerGroup", group), cast("Publisher", publisher), PARTS
        )

    def routed(self) -> dict[str, list[tuple[str | None, bytes]]]:
        batches = self.engine.drain(force=True)
        return {to: [(record.user, record.event) for record in decode_batch(batch)] for to, batch in batches}


@pytest.fixture
async def world() -> World:
    world = World()
    await world.router.listen()
    return world


async def test_a_notice_goes_to_each_instance_of_the_user_alone(world: World) -> None:
    await world.bus.arrive(user_sync("alice"), NOTICE)
    assert world.routed() == {"notif-1": [("alice", NOTICE)], "notif-2": [("alice", NOTICE)]}
    assert len(world.pokes) == 1


async def test_the_worker_of_the_users_partition_routes_it(world: World) -> None:
    world.claimed = set(range(PARTS)) - {partition_of("alice", PARTS)}
    await world.bus.arrive(user_sync("alice"), NOTICE)
    assert world.routed() == {}
    world.claimed = {partition_of("alice", PARTS)}
    await world.bus.arrive(user_sync("alice"), NOTICE)
    assert world.routed().keys() == {"notif-1", "notif-2"}


async def test_a_notice_of_a_user_who_is_not_here_is_nothing(world: World) -> None:
    await world.bus.arrive(user_sync("eve"), NOTICE.replace(b"alice", b"eve"))
    assert (world.routed(), world.pokes) == ({}, [])


@pytest.mark.parametrize(("subject", "payload"), [(user_sync("alice"), b"{}"), (user_sync("bob"), NOTICE)])
async def test_what_is_no_notice_is_skipped_and_counted(world: World, subject: str, payload: bytes) -> None:
    before = MESSAGES_SKIPPED.labels("user_sync")._value.get()
    await world.bus.arrive(subject, payload)
    assert world.routed() == {}
    assert MESSAGES_SKIPPED.labels("user_sync")._value.get() == before + 1
