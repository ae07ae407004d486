"""What the embedded log promises beyond the contract of the port: durability, one process, bounded memory, age."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from fanout.errors import FanoutError, PartitionLost, Unavailable
from fanout.log_record import LogRecord
from fanout.ports.log import PartitionEvents, PartitionReader, StoredEvent, Tail
from fanout.streams import DEAD, DEDUP_S, KEEP_S, MESSAGES, META
from services.adapters.embedded import durable
from services.adapters.embedded.deployment import EmbeddedDeployment
from services.adapters.embedded.log import EmbeddedLog, InUse, is_in_use
from services.adapters.embedded.stream import Stream
from tests.support.observing import until

Open = Callable[..., Awaitable[EmbeddedLog]]
DAY_S = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
async def opened(path: Path, clock: Clock) -> AsyncIterator[Open]:
    """Opens the log of this test, and closes whatever was opened."""
    logs: list[EmbeddedLog] = []

    async def open_log(**options: object) -> EmbeddedLog:
        logs.append(await EmbeddedLog.open(path, clock=clock, **options))  # type: ignore[arg-type]
        return logs[-1]

    yield open_log
    for log in logs:
        await log.close()


async def _append(log: EmbeddedLog, count: int, channel: str = "general") -> None:
    first = await log.last_seq(MESSAGES) + 1
    numbers = range(first, first + count)
    await asyncio.gather(*(log.append(f"messages.send.{channel}", b"%d" % n, msg_id=f"id-{n}") for n in numbers))


async def _seqs(fetching: Awaitable[Sequence[StoredEvent]]) -> list[int]:
    async with asyncio.timeout(10):
        return [event.seq for event in await fetching]


async def test_what_was_stored_is_there_after_a_restart(opened: Open) -> None:
    log = await opened()
    await _append(log, 3)
    await log.close()
    log = await opened()
    assert await log.last_seq(MESSAGES) == 3
    assert [event.payload async for event in log.read(MESSAGES, after=0, upto=3)] == [b"1", b"2", b"3"]
    assert await log.append("messages.send.general", b"4", msg_id="id-4") == (4, False)


async def test_what_was_answered_survives_a_crash(path: Path, opened: Open) -> None:
    program = f"""
import asyncio, os
from pathlib import Path
from services.adapters.embedded.log import EmbeddedLog
async def main():
    log = await EmbeddedLog.open(Path({str(path)!r}))
    await log.append("messages.send.general", b"kept", msg_id="one")
    os._exit(3)
asyncio.run(main())
"""
    crashed = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], timeout=60, check=False)
    assert crashed.returncode == 3
    stored = await (await opened()).get(MESSAGES, 1)
    assert stored is not None
    assert stored.payload == b"kept"


async def test_a_log_that_could_not_be_opened_can_be_opened_later(path: Path) -> None:
    class Away(EmbeddedDeployment):
        async def log_record(self, stream: str) -> LogRecord | None:
            raise Unavailable(f"the record of {stream} cannot be read")

    with pytest.raises(Unavailable, match="cannot be read"):
        await EmbeddedLog.open(path, deployment=Away("deployment"))
    assert not is_in_use(path)
    await (await EmbeddedLog.open(path, deployment=EmbeddedDeployment("deployment"))).close()


async def test_an_id_is_remembered_over_a_restart(opened: Open) -> None:
    log = await opened()
    await _append(log, 1)
    await log.close()
    assert await (await opened()).append("messages.send.general", b"1", msg_id="id-1") == (1, True)


async def test_an_id_is_forgotten_after_the_dedup_window(opened: Open, clock: Clock) -> None:
    log = await opened()
    await _append(log, 1)
    clock.now += DEDUP_S - 1
    assert (await log.append("messages.send.general", b"1", msg_id="id-1")).duplicate
    clock.now += 2
    assert await log.append("messages.send.general", b"1", msg_id="id-1") == (2, False)


async def test_the_partitions_of_the_first_start_hold(opened: Open) -> None:
    await (await opened(partitions=4)).close()
    assert (await opened(partitions=7)).partitions == 4


async def test_only_one_process_may_have_it(path: Path, opened: Open) -> None:
    assert not is_in_use(path)
    log = await opened()
    assert is_in_use(path)
    with pytest.raises(InUse, match="open in another process"):
        await EmbeddedLog.open(path)
    await log.close()
    assert not is_in_use(path)
    await (await opened()).ping()


async def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be opened"):
        await EmbeddedLog.open(tmp_path / "missing" / "log.db")


async def test_a_file_of_a_newer_program_is_refused_and_let_go(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    for _ in range(2):
        with pytest.raises(FanoutError, match="update it"):
            await EmbeddedLog.open(path)


async def test_without_a_path_it_lives_in_memory() -> None:
    log = await EmbeddedLog.open(None, partitions=2)
    await _append(log, 2)
    assert await _seqs((await log.tail(MESSAGES, after=0)).fetch()) == [1, 2]
    await log.close()


async def test_no_stream_takes_an_unknown_subject(opened: Open) -> None:
    log = await opened()
    for subject in ("unknown.general", "messages.send", "messages.send.a.b"):
        with pytest.raises(ValueError, match="no stream takes"):
            await log.append(subject, b"", msg_id="one")
    with pytest.raises(ValueError, match="no stream"):
        await log.tail("NOWHERE", after=0)
    with pytest.raises(ValueError, match="no partition"):
        await log.claim(MESSAGES, 1, "worker")


async def test_after_a_restart_only_unacknowledged_events_come_again(opened: Open) -> None:
    log = await opened()
    await _append(log, 5)
    consumer = await log.consume(MESSAGES, "writer")
    await consumer.ack((await consumer.fetch())[:3])
    await log.close()
    consumer = await (await opened()).consume(MESSAGES, "writer")
    assert await _seqs(consumer.fetch()) == [4, 5]


async def test_an_event_acknowledged_before_an_earlier_one_may_come_again_but_the_earlier_one_does(
    opened: Open,
) -> None:
    log = await opened()
    await _append(log, 3)
    consumer = await log.consume(MESSAGES, "writer")
    first, second, third = await consumer.fetch()
    await consumer.ack([first, third])
    await log.close()
    consumer = await (await opened()).consume(MESSAGES, "writer")
    again = await _seqs(consumer.fetch())
    assert second.seq in again
    assert first.seq not in again


async def test_what_is_not_acknowledged_in_time_comes_again_and_counts(opened: Open) -> None:
    log = await opened(ack_wait=0.05)
    await _append(log, 1)
    consumer = await log.consume(MESSAGES, "writer")
    assert [event.delivery for event in await consumer.fetch()] == [1]
    assert [event.delivery for event in await consumer.fetch()] == [2]
    [event] = await consumer.fetch()
    await consumer.ack([event])
    await _append(log, 1)
    assert await _seqs(consumer.fetch()) == [2]


async def test_a_queue_that_is_full_reads_on_when_events_are_acknowledged(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "MAX_IN_FLIGHT", 10)
    log = await opened()
    await _append(log, 15)
    consumer = await log.consume(MESSAGES, "writer")
    held = await consumer.fetch()
    assert [event.seq for event in held] == list(range(1, 11))
    waiting = asyncio.create_task(consumer.fetch())
    await _settle(log)
    assert not waiting.done()
    await consumer.ack(held[:2])
    assert await _seqs(waiting) == [11, 12]


async def test_more_events_that_are_due_than_a_batch_holds_all_come_again(opened: Open) -> None:
    log = await opened()
    await _append(log, 5)
    consumer = await log.consume(MESSAGES, "writer", batch=5)
    await consumer.retry(await consumer.fetch(), 0.0)
    small = await log.consume(MESSAGES, "writer", batch=2)
    assert [await _seqs(small.fetch()) for _ in range(3)] == [[1, 2], [3, 4], [5]]


async def test_a_cancelled_fetch_loses_nothing(opened: Open) -> None:
    log = await opened()
    consumer, tail = await log.consume(MESSAGES, "writer"), await log.tail(MESSAGES, after=0)
    await _append(log, 3)
    for reader in (consumer, tail):
        fetching = asyncio.create_task(reader.fetch())
        await asyncio.sleep(0)
        fetching.cancel()
        await asyncio.wait([fetching])
        assert fetching.cancelled()
        assert await _seqs(reader.fetch()) == [1, 2, 3]


async def test_an_append_whose_caller_went_away_is_seen_by_readers(opened: Open) -> None:
    log = await opened()
    tail = await log.tail(MESSAGES, after=0)
    waiting = asyncio.create_task(tail.fetch())
    appending = asyncio.create_task(log.append("messages.send.general", b"1", msg_id="one"))
    for _ in range(2):  # the call gives up the loop before it asks for the event to be stored
        await asyncio.sleep(0)
    appending.cancel()
    assert await _seqs(waiting) == [1]


async def test_the_position_of_a_partition_survives_a_restart_and_its_epoch_rises(opened: Open) -> None:
    log = await opened()
    await _append(log, 5)
    reader = await log.claim(MESSAGES, 0, "worker-1")
    assert (reader.epoch, reader.position) == (1, 0)
    await reader.ack((await reader.fetch())[2].seq)
    await log.close()
    reader = await (await opened()).claim(MESSAGES, 0, "worker-2")
    assert (reader.epoch, reader.position) == (2, 3)
    assert await _seqs(reader.fetch()) == [4, 5]


async def test_a_waiting_reader_is_told_that_it_lost_the_partition(opened: Open) -> None:
    log = await opened()
    reader = await log.claim(MESSAGES, 0, "worker-1")
    waiting = asyncio.create_task(reader.fetch())
    await asyncio.sleep(0)
    await log.claim(MESSAGES, 0, "worker-2")
    with pytest.raises(PartitionLost):
        await waiting


async def test_a_page_that_arrives_after_the_partition_was_lost_is_not_handed_out(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await opened()
    await _append(log, 1)
    reader = await log.claim(MESSAGES, 0, "worker-1")
    page = Stream.page

    async def page_during_a_claim(stream: Stream, **bounds: int) -> list[StoredEvent]:
        events = await page(stream, **bounds)
        await log.claim(MESSAGES, 0, "worker-2")
        return events

    monkeypatch.setattr(Stream, "page", page_during_a_claim)
    with pytest.raises(PartitionLost):
        await reader.fetch()


async def test_an_acknowledgement_of_a_lost_partition_counts_no_more(opened: Open) -> None:
    log = await opened()
    await _append(log, 3)
    old = await log.claim(MESSAGES, 0, "worker-1")
    events = await old.fetch()
    await log.claim(MESSAGES, 0, "worker-2")
    await old.ack(events[-1].seq)
    assert (await log.claim(MESSAGES, 0, "worker-3")).position == 0


async def test_of_two_who_claim_at_the_same_moment_one_reads(opened: Open) -> None:
    log = await opened()
    await _append(log, 1)
    both = (log.claim(MESSAGES, 0, f"worker-{number}") for number in range(2))
    claims = await asyncio.gather(*both, return_exceptions=True)
    readers = [claim for claim in claims if not isinstance(claim, BaseException)]
    results = await asyncio.gather(*(reader.fetch() for reader in readers), return_exceptions=True)
    assert sum(isinstance(result, PartitionEvents) for result in results) == 1


async def test_old_events_are_pruned_when_it_opens(opened: Open, clock: Clock) -> None:
    log = await opened()
    await _append(log, 2)
    await log.append("channels.member.joined.general", b"{}", msg_id="meta")
    await log.close()
    clock.now += KEEP_S - DAY_S
    log = await opened()
    await _append(log, 1)
    await log.close()
    clock.now += 2 * DAY_S
    log = await opened()
    assert [event.seq async for event in log.read(MESSAGES, after=0, upto=3)] == [3]
    assert await log.get(META, 1) is None
    assert await log.last_seq(MESSAGES) == 3
    assert await _seqs((await log.tail(MESSAGES, after=0)).fetch()) == [3]
    assert await _seqs((await log.consume(MESSAGES, "writer")).fetch()) == [3]
    await _append(log, 1)
    assert await log.last_seq(MESSAGES) == 4


async def test_a_consumer_goes_on_past_what_was_pruned(opened: Open, clock: Clock) -> None:
    log = await opened()
    await _append(log, 3)
    await log.close()
    clock.now += KEEP_S + 1
    log = await opened()
    consumer = await log.consume(MESSAGES, "writer")
    waiting = asyncio.create_task(consumer.fetch())
    await until(lambda: log._queues[MESSAGES, "writer"].floor == 3, "it has looked at what was pruned")
    await _append(log, 1)
    assert await _seqs(waiting) == [4]


async def test_the_reason_is_kept_with_what_is_buried(opened: Open, path: Path) -> None:
    log = await opened()
    await _append(log, 1)
    event = await log.get(MESSAGES, 1)
    assert event is not None
    await log.dead_letter(MESSAGES, event, "not JSON")
    await log.close()
    connection = sqlite3.connect(path)
    row = connection.execute("SELECT subject, payload, reason FROM events WHERE stream = ?", (DEAD,)).fetchone()
    connection.close()
    assert row == ("dead.MESSAGES.general", b"1", "not JSON")


async def test_closing_ends_every_waiting_reader(opened: Open) -> None:
    log = await opened()
    readers: list[Tail | PartitionReader] = [
        await log.tail(MESSAGES, after=0),
        await log.consume(MESSAGES, "writer"),
        await log.claim(MESSAGES, 0, "worker"),
    ]
    waiting = [asyncio.create_task(reader.fetch()) for reader in readers]
    await asyncio.sleep(0)
    await log.close()
    for fetching in waiting:
        with pytest.raises(Unavailable):
            await fetching
    with pytest.raises(Unavailable):
        await log.append("messages.send.general", b"late", msg_id="late")
    with pytest.raises(Unavailable):
        await log.ping()


async def test_a_closed_reader_reads_no_more(opened: Open) -> None:
    log = await opened()
    await _append(log, 1)
    readers: list[Tail | PartitionReader] = [
        await log.tail(MESSAGES, after=0),
        await log.consume(MESSAGES, "writer"),
        await log.claim(MESSAGES, 0, "worker"),
    ]
    for reader in readers:
        await reader.close()
        with pytest.raises(Unavailable):
            await reader.fetch()


async def _settle(log: EmbeddedLog) -> None:
    """Let whatever can go on go on: as many turns of the loop and of the database's threads as anything needs."""
    for _ in range(10):
        await log.ping()
