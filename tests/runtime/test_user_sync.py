"""A notice that cannot be published is counted, and is no error of the change that it is about."""

import pytest

from fanout.errors import TooLarge, Unavailable
from fanout.user_sync import ReadSync, decode_user_notice
from services.runtime.user_sync import NOT_TOLD, UserSync
from tests.support.faulty import FaultyBus

NOTICE = ReadSync("alice", "general", "", "msg_01ARZ3NDEKTSV4RRFFQ69G5FAV", "t", 7)


async def test_a_notice_is_published_under_its_user() -> None:
    bus = FaultyBus()
    await UserSync(bus).publish(NOTICE)
    ((subject, payload),) = bus.published
    assert (subject, decode_user_notice(payload, "alice")) == ("user.sync.alice", NOTICE)


@pytest.mark.parametrize("error", [Unavailable("away"), TooLarge("long")])
async def test_a_bus_that_does_not_take_it_is_counted(error: Exception) -> None:
    bus = FaultyBus()
    bus.outcomes["publish"] = error
    before = NOT_TOLD._value.get()
    await UserSync(bus).publish(NOTICE)
    assert NOT_TOLD._value.get() == before + 1
