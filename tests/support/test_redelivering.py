from fanout.streams import MESSAGE_WRITER, MESSAGES
from fanout.subjects import message
from tests.support.faulty import faulty_log
from tests.support.redelivering import Redelivery


async def test_each_event_comes_once_more_and_then_no_more() -> None:
    async with faulty_log() as inner:
        redelivery = Redelivery()
        log = redelivery.of(inner)
        for number in range(3):
            await log.append(message("c"), b"x", msg_id=str(number))
        consumer = await log.consume(MESSAGES, MESSAGE_WRITER)
        seen: list[int] = []
        while len(seen) < 6:
            events = await consumer.fetch()
            seen += [event.seq for event in events]
            assert await log.acknowledged(MESSAGES, MESSAGE_WRITER) == 0
            await consumer.ack(events)
        await consumer.close()
        assert sorted(seen) == [1, 1, 2, 2, 3, 3]
        assert await log.acknowledged(MESSAGES, MESSAGE_WRITER) == 3
        assert redelivery.given_back[MESSAGES, MESSAGE_WRITER] == {1, 2, 3}
