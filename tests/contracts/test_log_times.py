"""The contract of `fanout.ports.log` about the times at which events were stored, held by every adapter."""

import asyncio

from fanout import machine
from fanout.ports.log import Log
from fanout.streams import MESSAGES, META
from tests.support.reading import append_messages


async def stored_s(log: Log, seq: int) -> float:
    event = await log.get(MESSAGES, seq)
    assert event is not None
    return event.stored_ns / 1e9


class TestSeqAt:
    async def test_is_the_newest_event_up_to_the_time(self, log: Log) -> None:
        for number in range(4):
            await append_messages(log, "general" if number % 2 else "random", [number])
            await asyncio.sleep(0.01)  # so that no two have the same time
        for seq in range(1, 5):
            at = await stored_s(log, seq)
            assert await log.seq_at(MESSAGES, at + 0.001) == seq
            assert await log.seq_at(MESSAGES, at - 0.001) == seq - 1

    async def test_before_the_first_event_and_after_the_last(self, log: Log) -> None:
        await append_messages(log, "general", range(3))
        assert await log.seq_at(MESSAGES, machine.wall_s() - 3600) == 0
        assert await log.seq_at(MESSAGES, 0) == 0
        assert await log.seq_at(MESSAGES, machine.wall_s() + 3600) == 3

    async def test_of_a_stream_without_events(self, log: Log) -> None:
        await append_messages(log, "general", range(3))
        assert await log.seq_at(META, machine.wall_s()) == 0
