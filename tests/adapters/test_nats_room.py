"""JetStream without room: it answers, and stores nothing."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from fanout import subjects
from fanout.errors import StorageFull
from fanout.streams import MESSAGES
from services.adapters.nats import NatsConnection, api
from services.adapters.nats.room import TRY_AGAIN_AFTER_S, Room
from tests.support.nats import connected, open_log

LIMITS = {"max_storage": 1000}
FULL = {"storage": 900, "memory": 0, "limits": LIMITS}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def room(clock: Clock) -> Room:
    """One that has refused an event, and was looked at since."""
    room = Room(clock)
    room.check(FULL)
    with pytest.raises(StorageFull), room.storing():
        raise StorageFull("maximum bytes exceeded")
    with pytest.raises(StorageFull, match="maximum bytes exceeded"):
        room.check(FULL)
    return room


@pytest.mark.parametrize("account", [FULL, {**FULL, "storage": 950}])
def test_a_refusal_counts_while_nothing_has_changed(room: Room, account: dict[str, Any], clock: Clock) -> None:
    for _ in range(3):
        clock.now += TRY_AGAIN_AFTER_S / 4
        with pytest.raises(StorageFull):
            room.check(account)


@pytest.mark.parametrize("account", [{**FULL, "storage": 899}, {**FULL, "limits": {"max_storage": 2000}}])
def test_room_that_shows_ends_it(room: Room, account: dict[str, Any]) -> None:
    room.check(account)
    room.check(FULL)


def test_an_event_that_is_stored_ends_it(room: Room) -> None:
    with room.storing():
        pass
    room.check(FULL)


def test_the_next_event_decides_after_a_while(room: Room, clock: Clock) -> None:
    clock.now += TRY_AGAIN_AFTER_S
    room.check(FULL)
    with pytest.raises(StorageFull), room.storing():
        raise StorageFull("again")
    with pytest.raises(StorageFull, match="again"):
        room.check(FULL)


def test_what_fails_for_another_reason_says_nothing_of_room() -> None:
    room = Room()
    with pytest.raises(ValueError, match="another"), room.storing():
        raise ValueError("another")
    room.check(FULL)


@pytest.mark.parametrize("code", [10002, 10023, 10028, 10047, 10077])
def test_each_refusal_for_want_of_room_is_known(code: int) -> None:
    with pytest.raises(StorageFull):
        api.checked(b'{"error": {"code": 400, "err_code": %d, "description": "no room"}}' % code)


@pytest.fixture
async def nc(nats_url: str) -> AsyncIterator[NatsConnection]:
    async with connected(nats_url) as connection:
        yield connection


async def test_a_log_whose_stream_is_full_does_not_claim_to_be_well(nc: NatsConnection) -> None:
    log = await open_log(nc, 1)
    config = (await api.stream_info(nc, MESSAGES))["config"]
    full = {**config, "max_bytes": 1500, "discard": "new"}
    await api.call(nc, f"STREAM.UPDATE.{MESSAGES}", full)
    subject = subjects.message("general")
    await log.append(subject, b"x" * 500, msg_id="fits")
    await log.ping()
    with pytest.raises(StorageFull):
        await log.append(subject, b"x" * 1400, msg_id="does not")
    with pytest.raises(StorageFull):
        await log.ping()
    await api.call(nc, f"STREAM.PURGE.{MESSAGES}")
    await log.ping()
    await log.append(subject, b"x" * 500, msg_id="after")
