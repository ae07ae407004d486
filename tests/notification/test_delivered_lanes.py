"""How far each lane was delivered: the baseline of its stream, and the progress since."""

from collections.abc import AsyncIterator

import pytest

from fanout import Unavailable
from fanout.lanes import Lane
from fanout.streams import MESSAGES, META
from services.notification.delivered_lanes import DeliveredLanes
from tests.support.faulty import FaultyLog, faulty_log
from tests.support.reading import append_messages

FIRST, SECOND = Lane(MESSAGES, 0), Lane(MESSAGES, 1)


@pytest.fixture
async def log() -> AsyncIterator[FaultyLog]:
    async with faulty_log(partitions=2) as opened:
        yield opened


async def test_a_lane_begins_at_the_baseline_of_its_stream(log: FaultyLog) -> None:
    lanes = DeliveredLanes(log)
    assert lanes.upto(FIRST) == 0
    await append_messages(log, "general", range(3))
    await lanes.rebase()
    assert (lanes.upto(FIRST), lanes.upto(SECOND), lanes.upto(Lane(META, 0))) == (3, 3, 0)


async def test_a_lane_that_is_known_moves_to_the_new_baseline_and_never_back(log: FaultyLog) -> None:
    lanes = DeliveredLanes(log)
    lanes.advance(FIRST, 2)
    lanes.advance(FIRST, 1)
    assert lanes.upto(FIRST) == 2
    await append_messages(log, "general", range(3))
    await lanes.rebase()
    assert lanes.upto(FIRST) == 3


async def test_messages_are_delivered_as_far_as_their_slowest_partition(log: FaultyLog) -> None:
    lanes = DeliveredLanes(log)
    lanes.advance(FIRST, 5)
    assert lanes.messages_upto() == 0
    lanes.advance(SECOND, 4)
    assert lanes.messages_upto() == 4


async def test_a_log_that_is_away_leaves_the_baseline(log: FaultyLog) -> None:
    lanes = DeliveredLanes(log)
    log.down = True
    with pytest.raises(Unavailable):
        await lanes.rebase()
    assert lanes.upto(FIRST) == 0
