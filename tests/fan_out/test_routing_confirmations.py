"""Confirmations to instances: few messages for many users, and none that the bus does not take."""

from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from fanout.subjects import instance_control
from fanout.workers import PresenceChange, RoutingConfirmed, RoutingPending, decode_control
from services.fan_out.routing_confirmations import RoutingConfirmations
from services.runtime.tasks import Tasks
from tests.support.faulty import FaultyBus
from tests.support.observing import until


def arrival(user_id: str, instance_id: str = "notif-1", number: int = 1) -> PresenceChange:
    return PresenceChange(user_id, online=True, instance_id=instance_id, incarnation="first", number=number)


@pytest.fixture
def bus() -> FaultyBus:
    return FaultyBus()


@pytest.fixture
async def confirmations(bus: FaultyBus) -> AsyncIterator[RoutingConfirmations]:
    failures: list[BaseException] = []
    async with Tasks(failures.append) as tasks:
        yield RoutingConfirmations("worker-1", bus, tasks, lambda: 17)
    assert not failures


async def test_the_users_of_one_turn_share_a_message(confirmations: RoutingConfirmations, bus: FaultyBus) -> None:
    came = [("alice", "notif-1"), ("bob", "notif-2"), ("carol", "notif-1"), ("alice", "notif-1")]
    for number, (user, instance) in enumerate(came, 1):
        confirmations.confirm(arrival(user, instance, number))
    await until(lambda: len(bus.published) == 2)
    assert bus.offered == 1, "they are published together"
    assert [(subject, decode_control(payload)) for subject, payload in bus.published] == [
        (instance_control("notif-1"), RoutingConfirmed("worker-1", "first", {"alice": 4, "carol": 3}, 17)),
        (instance_control("notif-2"), RoutingConfirmed("worker-1", "first", {"bob": 2}, 17)),
    ]
    confirmations.confirm(arrival("dave", "notif-2"))
    await until(lambda: len(bus.published) == 3)


async def test_many_users_come_in_messages_that_the_bus_takes(
    confirmations: RoutingConfirmations, bus: FaultyBus
) -> None:
    bus.limit = 4_096
    users = [f"user-{number}" for number in range(100)]
    for user in users:
        confirmations.confirm(arrival(user))
    await until(lambda: bool(bus.published))
    confirmed: list[str] = []
    for _, payload in bus.published:
        message = decode_control(payload)
        assert isinstance(message, RoutingConfirmed)
        confirmed += message.users
    assert len(bus.published) > 1
    assert confirmed == users


async def test_a_bus_that_is_away_costs_the_confirmation_alone(
    confirmations: RoutingConfirmations, bus: FaultyBus
) -> None:
    bus.down = True
    with capture_logs() as logs:
        confirmations.confirm(arrival("alice"))
        await until(lambda: bool(logs), "it was tried")
    assert [entry["log_level"] for entry in logs] == ["warning"]
    bus.down = False
    confirmations.confirm(arrival("alice"))
    await until(lambda: len(bus.published) == 1)


async def test_the_users_who_are_being_loaded_are_named_to_their_instances(
    confirmations: RoutingConfirmations, bus: FaultyBus
) -> None:
    await confirmations.tell_pending([arrival("alice"), arrival("bob", "notif-2"), arrival("carol")])
    assert [(subject, decode_control(payload)) for subject, payload in bus.published] == [
        (instance_control("notif-1"), RoutingPending("worker-1", "first", ["alice", "carol"])),
        (instance_control("notif-2"), RoutingPending("worker-1", "first", ["bob"])),
    ]
