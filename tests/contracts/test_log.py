"""The contract of `fanout.ports.log`, held by every adapter."""

import asyncio

import pytest

from fanout import partition_of, subjects
from fanout.errors import PartitionLost, TooLarge
from fanout.events import MAX_BATCH, longest_event
from fanout.ports.log import Log, PartitionReader, StoredEvent
from fanout.streams import DEAD, MESSAGES, META
from tests.contracts.conftest import PARTITIONS
from tests.support.reading import append_messages, channel_in, collect, payloads, seqs, soon, until


async def _read(log: Log, stream: str, after: int, upto: int, part: int | None = None) -> list[StoredEvent]:
    return [event async for event in log.read(stream, after=after, upto=upto, part=part)]


async def _wait_until_caught_up(reader: PartitionReader) -> int:
    return await until(reader.caught_up)


class TestAppend:
    async def test_numbers_events_from_one_in_order(self, log: Log) -> None:
        assert await append_messages(log, "general", range(3)) == [1, 2, 3]

    async def test_the_same_msg_id_is_stored_once(self, log: Log) -> None:
        first = await log.append(subjects.message("general"), b"one", msg_id="same")
        second = await log.append(subjects.message("general"), b"two", msg_id="same")
        assert (first.duplicate, second.duplicate) == (False, True)
        assert second.seq == first.seq == await log.last_seq(MESSAGES)

    async def test_the_same_msg_id_in_another_stream_is_another_event(self, log: Log) -> None:
        await log.append(subjects.message("general"), b"one", msg_id="same")
        answer = await log.append(subjects.member_joined("general"), b"two", msg_id="same")
        assert not answer.duplicate

    async def test_the_longest_event_is_stored_and_a_longer_one_refused(self, log: Log) -> None:
        longest = bytes(longest_event(MAX_BATCH))
        with pytest.raises(TooLarge, match=str(len(longest))):
            await log.append(subjects.message("general"), longest + b"x", msg_id="a")
        assert (await log.append(subjects.message("general"), longest, msg_id="a")).seq == 1

    async def test_get_gives_the_event_as_it_was_published(self, log: Log) -> None:
        seq = (await log.append(subjects.message("general"), b"\x00payload\xff", msg_id="a")).seq
        stored = await log.get(MESSAGES, seq)
        assert stored is not None
        assert stored[:3] == (seq, "messages.send.general", b"\x00payload\xff")

    async def test_an_empty_payload_is_an_event_too(self, log: Log) -> None:
        seq = (await log.append(subjects.message("general"), b"", msg_id="a")).seq
        stored = await log.get(MESSAGES, seq)
        assert stored is not None
        assert stored.payload == b""

    async def test_get_of_a_sequence_that_does_not_exist(self, log: Log) -> None:
        assert await log.get(MESSAGES, 1) is None

    @pytest.mark.parametrize("seq", [0, -1, 2, 2**53])
    async def test_get_outside_of_what_is_stored(self, log: Log, seq: int) -> None:
        assert await log.get(MESSAGES, seq) is None, "of a stream without events"
        await append_messages(log, "general", [1])
        assert await log.get(MESSAGES, seq) is None

    async def test_last_seq(self, log: Log) -> None:
        assert await log.last_seq(MESSAGES) == 0
        await append_messages(log, "general", range(2))
        assert await log.last_seq(MESSAGES) == 2
        assert await log.last_seq(META) == 0

    async def test_ping_and_partitions(self, log: Log) -> None:
        await log.ping()
        assert log.partitions == PARTITIONS


class TestConsumer:
    async def test_a_new_one_begins_at_the_streams_beginning(self, log: Log) -> None:
        await append_messages(log, "general", range(5))
        consumer = await log.consume(MESSAGES, "writer")
        events = await collect(consumer, 5)
        assert payloads(events) == list(range(5))
        assert {event.subject for event in events} == {"messages.send.general"}
        assert {event.delivery for event in events} == {1}
        await consumer.close()

    async def test_waits_for_an_event(self, log: Log) -> None:
        consumer = await log.consume(MESSAGES, "writer")
        waiting = asyncio.create_task(consumer.fetch())
        await append_messages(log, "general", [7])
        assert payloads(await soon(waiting)) == [7]
        await consumer.close()

    async def test_a_fetch_is_no_longer_than_the_batch(self, log: Log) -> None:
        await append_messages(log, "general", range(5))
        consumer = await log.consume(MESSAGES, "writer", batch=2)
        assert 1 <= len(await soon(consumer.fetch())) <= 2
        await consumer.close()

    async def test_what_is_acknowledged_does_not_come_again(self, log: Log) -> None:
        await append_messages(log, "general", range(3))
        consumer = await log.consume(MESSAGES, "writer")
        await consumer.ack(await collect(consumer, 3))
        await consumer.close()
        await append_messages(log, "general", [3])
        successor = await log.consume(MESSAGES, "writer")
        assert payloads(await collect(successor, 1)) == [3]
        await successor.close()

    async def test_retry_delivers_again(self, log: Log) -> None:
        await append_messages(log, "general", range(3))
        consumer = await log.consume(MESSAGES, "writer")
        events = await collect(consumer, 3)
        await consumer.ack(events[:1])
        await consumer.retry(events[1:], 0.05)
        again = await collect(consumer, 2)
        assert sorted(seqs(again)) == [2, 3]
        assert {event.delivery for event in again} == {2}
        await consumer.close()

    async def test_a_fetch_that_is_cancelled_loses_nothing(self, log: Log) -> None:
        consumer = await log.consume(MESSAGES, "writer")
        waiting = asyncio.create_task(consumer.fetch())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await append_messages(log, "general", [1])
        assert payloads(await collect(consumer, 1)) == [1]
        await consumer.close()

    async def test_what_a_closed_one_did_not_acknowledge_goes_to_another(self, log: Log) -> None:
        await append_messages(log, "general", range(4))
        first = await log.consume(MESSAGES, "writer")
        events = await collect(first, 4)
        await first.ack(events[::2])
        await first.close()
        second = await log.consume(MESSAGES, "writer")
        assert sorted(payloads(await collect(second, 2))) == [1, 3]
        await second.close()

    async def test_workers_share_the_events(self, log: Log) -> None:
        workers = [await log.consume(MESSAGES, "writer", batch=5) for _ in range(2)]
        seen: list[int] = []

        async def work(number: int) -> None:
            while len(seen) < 100:
                events = await workers[number].fetch()
                seen.extend(payloads(events))
                await workers[number].ack(events)

        tasks = [asyncio.create_task(work(number)) for number in range(2)]
        await append_messages(log, "general", range(100))
        await soon(asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert sorted(seen) == list(range(100))
        for worker in workers:
            await worker.close()

    async def test_each_durable_has_every_event(self, log: Log) -> None:
        await append_messages(log, "general", range(3))
        for durable in ("writer", "evaluator"):
            consumer = await log.consume(MESSAGES, durable)
            assert payloads(await collect(consumer, 3)) == [0, 1, 2]
            await consumer.close()


class TestTail:
    async def test_begins_behind_a_sequence_and_goes_on_live(self, log: Log) -> None:
        await append_messages(log, "general", range(5))
        tail = await log.tail(MESSAGES, after=2)
        assert seqs(await collect(tail, 3)) == [3, 4, 5]
        waiting = asyncio.create_task(tail.fetch())
        await append_messages(log, "general", [5])
        assert seqs(await soon(waiting)) == [6]
        await tail.close()

    async def test_may_begin_behind_the_end(self, log: Log) -> None:
        await append_messages(log, "general", range(2))
        tail = await log.tail(MESSAGES, after=3)
        await append_messages(log, "general", range(2, 5))
        assert seqs(await collect(tail, 2)) == [4, 5]
        await tail.close()

    async def test_is_in_order_and_complete(self, log: Log) -> None:
        tail = await log.tail(MESSAGES, after=0)
        appending = [asyncio.create_task(append_messages(log, f"c{one}", range(100))) for one in range(10)]
        assert seqs(await collect(tail, 1000)) == list(range(1, 1001))
        await asyncio.gather(*appending)
        await tail.close()

    async def test_each_tail_has_every_event(self, log: Log) -> None:
        tails = [await log.tail(META, after=0) for _ in range(2)]
        await log.append(subjects.member_joined("general"), b"joined", msg_id="a")
        await log.append(subjects.member_left("general"), b"left", msg_id="b")
        for tail in tails:
            events = await collect(tail, 2)
            assert [event.payload for event in events] == [b"joined", b"left"]
            assert events[0].subject == "channels.member.joined.general"
            await tail.close()


class TestRead:
    @pytest.mark.parametrize(
        ("after", "upto", "expected"),
        [
            pytest.param(0, 5, [1, 2, 3, 4, 5], id="whole"),
            pytest.param(1, 3, [2, 3], id="middle"),
            pytest.param(3, 100, [4, 5], id="past-the-end"),
            pytest.param(5, 5, [], id="empty"),
            pytest.param(5, 9, [], id="behind-the-end"),
            pytest.param(4, 2, [], id="reversed"),
        ],
    )
    async def test_a_range(self, log: Log, after: int, upto: int, expected: list[int]) -> None:
        await append_messages(log, "general", range(5))
        assert seqs(await soon(_read(log, MESSAGES, after, upto))) == expected

    async def test_an_empty_stream(self, log: Log) -> None:
        assert await soon(_read(log, MESSAGES, 0, 10)) == []

    async def test_messages_of_one_partition(self, log: Log) -> None:
        here, there = (channel_in(part, PARTITIONS) for part in (1, 2))
        mine = await append_messages(log, here, [0])
        await append_messages(log, there, [0])
        mine += await append_messages(log, here, [1])
        await append_messages(log, there, [1])
        assert seqs(await soon(_read(log, MESSAGES, 0, 4, part=1))) == mine
        assert seqs(await soon(_read(log, MESSAGES, 0, 2, part=1))) == mine[:1]

    async def test_a_partition_with_nothing_in_the_range(self, log: Log) -> None:
        await append_messages(log, channel_in(1, PARTITIONS), range(3))
        assert await soon(_read(log, MESSAGES, 0, 3, part=0)) == []

    async def test_member_events_of_one_partition(self, log: Log) -> None:
        channels = [f"channel-{number}" for number in range(20)]
        for channel in channels:
            await log.append(subjects.member_joined(channel), b"", msg_id=channel)
        events = await soon(_read(log, META, 0, 20, part=3))
        found = [subjects.channel_of(event.subject) for event in events]
        assert found == [channel for channel in channels if partition_of(channel, PARTITIONS) == 3]

    async def test_more_than_one_batch(self, log: Log) -> None:
        await asyncio.gather(*(append_messages(log, f"c{one}", range(120)) for one in range(10)))
        assert seqs(await soon(_read(log, MESSAGES, 10, 1190))) == list(range(11, 1191))

    async def test_may_be_left_early(self, log: Log) -> None:
        await append_messages(log, "general", range(5))
        events = log.read(MESSAGES, after=0, upto=5)
        assert (await soon(anext(events))).seq == 1
        await events.aclose()


class TestPartition:
    async def test_has_its_own_channels_in_order(self, log: Log) -> None:
        here, there = (channel_in(part, PARTITIONS) for part in (2, 3))
        for number in range(10):
            await append_messages(log, here, [number])
            await append_messages(log, there, [number])
        reader = await log.claim(MESSAGES, 2, "worker")
        events = await collect(reader, 10)
        assert payloads(events) == list(range(10))
        assert {event.subject for event in events} == {subjects.message(here)}
        await reader.close()

    async def test_waits_for_an_event(self, log: Log) -> None:
        reader = await log.claim(MESSAGES, 0, "worker")
        waiting = asyncio.create_task(reader.fetch())
        await append_messages(log, channel_in(0, PARTITIONS), [7])
        assert payloads(await soon(waiting)) == [7]
        await reader.close()

    async def test_the_first_position_is_the_beginning(self, log: Log) -> None:
        reader = await log.claim(MESSAGES, 0, "worker")
        assert (reader.partition, reader.position) == (0, 0)
        await reader.close()

    async def test_the_next_reader_begins_behind_what_was_acknowledged(self, log: Log) -> None:
        stored = await append_messages(log, channel_in(0, PARTITIONS), range(5))
        first = await log.claim(MESSAGES, 0, "worker-1")
        events = await collect(first, 5)
        await first.ack(events[1].seq)
        await first.close()
        second = await log.claim(MESSAGES, 0, "worker-2")
        assert second.position == stored[1]
        assert second.epoch > first.epoch
        assert seqs(await collect(second, 3)) == stored[2:]
        await second.close()

    async def test_an_acknowledgement_covers_what_came_before(self, log: Log) -> None:
        stored = await append_messages(log, channel_in(0, PARTITIONS), range(5))
        first = await log.claim(MESSAGES, 0, "worker-1")
        events = await collect(first, 5)
        await first.ack(events[3].seq)
        await first.close()
        second = await log.claim(MESSAGES, 0, "worker-2")
        assert second.position == stored[3]
        assert seqs(await collect(second, 1)) == stored[4:]
        await second.close()

    async def test_a_reader_that_did_nothing_keeps_the_position(self, log: Log) -> None:
        stored = await append_messages(log, channel_in(0, PARTITIONS), range(3))
        first = await log.claim(MESSAGES, 0, "worker-1")
        await first.ack((await collect(first, 3))[-1].seq)
        await first.close()
        for _ in range(2):
            idle = await log.claim(MESSAGES, 0, "worker-2")
            assert idle.position == stored[-1]
            await idle.close()

    async def test_a_claim_ends_the_reader_before(self, log: Log) -> None:
        first = await log.claim(MESSAGES, 0, "worker-1")
        waiting = asyncio.create_task(first.fetch())
        second = await log.claim(MESSAGES, 0, "worker-2")
        with pytest.raises(PartitionLost):
            await soon(waiting)
        with pytest.raises(PartitionLost):
            await soon(first.fetch())
        with pytest.raises(PartitionLost):
            await soon(first.caught_up())
        await first.close()
        await append_messages(log, channel_in(0, PARTITIONS), [1])
        assert payloads(await collect(second, 1)) == [1]
        await second.close()

    async def test_a_claim_of_one_partition_leaves_the_others(self, log: Log) -> None:
        first = await log.claim(MESSAGES, 0, "worker-1")
        second = await log.claim(MESSAGES, 1, "worker-2")
        await append_messages(log, channel_in(0, PARTITIONS), [1])
        assert payloads(await collect(first, 1)) == [1]
        await first.close()
        await second.close()

    async def test_of_claims_at_the_same_moment_one_holds(self, log: Log) -> None:
        claims = (log.claim(MESSAGES, 0, f"worker-{number}") for number in range(5))
        results = await soon(asyncio.gather(*claims, return_exceptions=True))
        readers = [result for result in results if not isinstance(result, BaseException)]
        assert all(isinstance(result, PartitionLost) for result in results if result not in readers)
        assert len({reader.epoch for reader in readers}) == len(readers) > 0
        await append_messages(log, channel_in(0, PARTITIONS), [1])
        *lost, winner = sorted(readers, key=lambda reader: reader.epoch)
        assert payloads(await collect(winner, 1)) == [1]
        for reader in lost:
            with pytest.raises(PartitionLost):
                await soon(reader.fetch())
        for reader in readers:
            await reader.close()

    @pytest.mark.parametrize(
        ("stream", "part"), [(MESSAGES, PARTITIONS), (MESSAGES, -1), (META, 0), (DEAD, 0), ("OTHER", 0)]
    )
    async def test_a_claim_of_a_partition_that_does_not_exist_is_refused(
        self, log: Log, stream: str, part: int
    ) -> None:
        with pytest.raises(ValueError, match=f"{stream} has no partition {part}"):
            await log.claim(stream, part, "worker")

    async def test_caught_up_where_there_is_nothing(self, log: Log) -> None:
        await append_messages(log, channel_in(1, PARTITIONS), range(3))
        reader = await log.claim(MESSAGES, 0, "worker")
        assert await _wait_until_caught_up(reader) == 3
        await reader.close()

    async def test_caught_up_only_when_all_is_acknowledged(self, log: Log) -> None:
        await append_messages(log, channel_in(0, PARTITIONS), range(3))
        reader = await log.claim(MESSAGES, 0, "worker")
        assert await reader.caught_up() is None
        events = await collect(reader, 3)
        await reader.ack(events[1].seq)
        assert await reader.caught_up() is None
        await reader.ack(events[-1].seq)
        assert await _wait_until_caught_up(reader) == 3
        await reader.close()
