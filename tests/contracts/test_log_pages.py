"""The contract of `fanout.ports.log` about events that are read in pages, held by every adapter."""

import pytest

from fanout.ports.log import Log, StoredEvent
from fanout.streams import MESSAGES, META
from tests.support.reading import append_messages, seqs, soon


async def read(log: Log, stream: str, after: int, upto: int) -> list[StoredEvent]:
    return [event async for page in log.pages(stream, after=after, upto=upto) for event in page]


class TestPages:
    @pytest.mark.parametrize(
        ("after", "upto", "expected"),
        [(0, 5, [1, 2, 3, 4, 5]), (1, 3, [2, 3]), (3, 100, [4, 5]), (5, 5, []), (5, 9, []), (4, 2, [])],
    )
    async def test_have_a_range_and_perhaps_what_follows(
        self, log: Log, after: int, upto: int, expected: list[int]
    ) -> None:
        await append_messages(log, "general", range(5))
        read_seqs = seqs(await soon(read(log, MESSAGES, after, upto)))
        assert [seq for seq in read_seqs if seq <= upto] == expected
        assert read_seqs == sorted(read_seqs)

    async def test_have_each_event_as_it_was_published_and_when_it_was_stored(self, log: Log) -> None:
        for channel in ("general", "random"):
            await append_messages(log, channel, range(2))
        events = await soon(read(log, MESSAGES, 0, 4))
        assert [event.subject for event in events] == ["messages.send.general"] * 2 + ["messages.send.random"] * 2
        for event in events:
            stored = await log.get(MESSAGES, event.seq)
            assert stored is not None
            assert (event.payload, event.stored_ns) == (stored.payload, stored.stored_ns)

    async def test_of_another_stream(self, log: Log) -> None:
        await append_messages(log, "general", range(2))
        assert await soon(read(log, META, 0, 10)) == []

    async def test_are_several_where_there_is_much(self, log: Log) -> None:
        given = await append_messages(log, "general", range(1_200))
        assert seqs(await soon(read(log, MESSAGES, 0, given[-1]))) == given
