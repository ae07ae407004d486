"""How far each lane was delivered: the baseline of its stream, and the progress since."""

from collections.abc import AsyncIterator

import pytest

from fanout import Unavailable
from fanout.lanes import Lane
from fanout.streams import MESSAGES, META, RECEIPTS
from fanout.subjects import receipt
from services.notification import delivered_lanes
from services.notification.delivered_lanes import DeliveredLanes
from tests.support.faulty import FaultyLog, faulty_log
from tests.support.reading import append_messages, soon

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


@pytest.mark.parametrize("fault", ["away", "hung"])
async def test_a_stream_that_may_be_missed_keeps_its_baseline_and_the_others_move(
    log: FaultyLog, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(delivered_lanes, "PATIENCE_S", 0.01)
    lanes = DeliveredLanes(log)
    await append_messages(log, "general", range(3))
    await log.append(receipt("general"), b"{}", msg_id="first")
    await lanes.rebase()
    await append_messages(log, "general", range(3, 5))
    await log.append(receipt("general"), b"{}", msg_id="second")
    getattr(log, fault).add(RECEIPTS)
    await soon(lanes.rebase())
    assert (lanes.upto(FIRST), lanes.upto(Lane(RECEIPTS, 0))) == (5, 1)


@pytest.mark.parametrize("stream", [MESSAGES, META])
async def test_a_stream_that_may_not_be_missed_decides(log: FaultyLog, stream: str) -> None:
    lanes = DeliveredLanes(log)
    log.away.add(stream)
    with pytest.raises(Unavailable):
        await lanes.rebase()
