"""A partition of RECEIPTS is read by the worker that reads the one of MESSAGES, which it never holds up."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from fanout import PartitionLost, Unavailable
from fanout.events import ReceiptRead, encode, timestamp
from fanout.ids import new_event_id, new_message_id
from fanout.lanes import Lane
from fanout.ports.log import PartitionEvents
from fanout.streams import DEAD, MESSAGES, RECEIPTS
from fanout.subjects import receipt
from services.adapters.embedded.readers import EmbeddedPartitionReader
from services.fan_out import partitions as partitions_module
from services.runtime import tasks as tasks_module
from tests.support.observing import until
from tests.support.partition_worlds import CHANNEL, PART, Worker, World, opened_world

FIRST, BESIDE = Lane(MESSAGES, PART), Lane(RECEIPTS, PART)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_module, "FIRST_DELAY_S", 0.001)
    monkeypatch.setattr(tasks_module, "LONGEST_DELAY_S", 0.002)
    monkeypatch.setattr(partitions_module, "CLAIM_AGAIN_AFTER_S", 0.002)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with opened_world() as world:
        yield world
        assert not world.failures


async def read(world: World) -> None:
    event = ReceiptRead(new_event_id(), CHANNEL, new_message_id(), ["bob"], timestamp())
    await world.log.append(receipt(CHANNEL), encode(event), msg_id=event.event_id)


def readers(worker: Worker) -> set[Lane]:
    """The lanes of the partition that a worker has readers of."""
    claim = worker.partitions._claims.get(PART)
    return set(claim.readers) if claim else set()


async def both_claimed(worker: Worker) -> None:
    await worker.partitions.claim(PART)
    await until(lambda: readers(worker) == {FIRST, BESIDE})


async def test_events_of_both_are_read_and_acknowledged(world: World) -> None:
    worker = world.worker()
    await worker.partitions.claim(PART)
    await world.post(3)
    await read(world)
    await world.log.append(receipt(CHANNEL), b"no event", msg_id="poisonous")
    await until(lambda: sorted(worker.told()) == [1, 1, 2, 3])
    await until(lambda: world.log._streams[DEAD].last_seq == 1)
    await worker.partitions.release(PART)
    assert await world.acknowledged() == 3
    assert (await world.log.claim(RECEIPTS, PART, "looks")).position == 2


@pytest.mark.parametrize("hangs", [True, False])
async def test_a_stream_that_cannot_be_claimed_holds_up_no_message(
    world: World, monkeypatch: pytest.MonkeyPatch, *, hangs: bool
) -> None:
    claim, is_back = world.log.claim, asyncio.Event()

    async def claim_messages_alone(stream: str, part: int, owner: str) -> EmbeddedPartitionReader:
        if stream == RECEIPTS and not is_back.is_set():
            if not hangs:
                raise Unavailable("no leader")
            await is_back.wait()
        return await claim(stream, part, owner)

    monkeypatch.setattr(world.log, "claim", claim_messages_alone)
    worker = world.worker()
    await worker.partitions.claim(PART)
    await read(world)
    await world.post(3)
    await until(lambda: worker.told() == [1, 2, 3])
    assert readers(worker) == {FIRST}
    is_back.set()
    await until(lambda: worker.told() == [1, 2, 3, 1])
    await worker.partitions.release(PART)


async def test_a_release_waits_for_no_claim_that_hangs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    claim, never = world.log.claim, asyncio.Event()

    async def hang(stream: str, part: int, owner: str) -> EmbeddedPartitionReader:
        if stream == RECEIPTS:
            await never.wait()
        return await claim(stream, part, owner)

    worker = world.worker()
    monkeypatch.setattr(world.log, "claim", hang)
    await worker.partitions.claim(PART)
    await world.post(1)
    await until(lambda: worker.told() == [1])
    await worker.partitions.release(PART)
    assert worker.partitions.claimed() == []


async def test_who_loses_the_first_gives_up_both_after_the_batches_in_hand(world: World) -> None:
    worker = world.worker()
    worker.bus.blocked = True
    await world.post(3)
    await worker.partitions.claim(PART)
    await until(lambda: worker.bus.offered == 1)
    await world.log.claim(MESSAGES, PART, "takes")
    for _ in range(20):
        await asyncio.sleep(0)
    assert worker.partitions.claimed() == [PART]
    worker.bus.blocked = False
    await until(lambda: worker.partitions.claimed() == [])
    assert worker.told() == [1, 2, 3]


async def test_who_loses_the_other_keeps_the_first_and_claims_it_again(world: World) -> None:
    worker = world.worker()
    await both_claimed(worker)
    epoch = worker.partitions.epochs()[PART]
    await world.log.claim(RECEIPTS, PART, "takes by mistake")
    await world.post(3)
    await read(world)
    await until(lambda: sorted(worker.told()) == [1, 1, 2, 3])
    assert worker.partitions.epochs() == {PART: epoch}
    await worker.partitions.release(PART)


async def test_who_loses_a_reader_before_it_is_looked_at_passes_over_it(world: World) -> None:
    worker = world.worker()
    await both_claimed(worker)
    looking = asyncio.create_task(worker.partitions.find_idle_positions())
    await asyncio.sleep(0)
    reader = worker.partitions._claims[PART].readers.pop(BESIDE)
    await looking
    worker.partitions._claims[PART].readers[BESIDE] = reader
    await worker.partitions.release(PART)


@pytest.mark.parametrize("turns", range(16))
async def test_a_release_at_any_moment_ends_both_after_the_batch_in_hand(world: World, turns: int) -> None:
    first, second = world.worker("worker-1"), world.worker("worker-2")
    await world.post(5)
    await first.partitions.claim(PART)
    for _ in range(turns):
        await asyncio.sleep(0)
    await first.partitions.release(PART)
    assert first.partitions.claimed() == []
    await second.partitions.claim(PART)
    await until(lambda: sorted(first.told() + second.told()) == [1, 2, 3, 4, 5])


async def test_who_does_not_get_the_first_claims_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def lose(stream: str, part: int, owner: str) -> EmbeddedPartitionReader:
        asked.append(stream)
        raise PartitionLost("another was first")

    worker = world.worker()
    monkeypatch.setattr(world.log, "claim", lose)
    await worker.partitions.claim(PART)
    assert (worker.partitions.claimed(), asked) == ([], [MESSAGES])


async def test_each_reader_is_closed_where_the_first_cannot_be(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[EmbeddedPartitionReader] = []

    async def close(reader: EmbeddedPartitionReader) -> None:
        closed.append(reader)
        raise LookupError("broken")

    worker = world.worker()
    monkeypatch.setattr(EmbeddedPartitionReader, "close", close)
    await both_claimed(worker)
    await worker.partitions.release(PART)
    assert len(closed) == 2
    await until(lambda: [str(failure) for failure in world.failures] == ["broken"])
    world.failures.clear()


async def test_no_two_workers_route_under_the_same_epoch(world: World) -> None:
    first, second = world.worker("worker-1"), world.worker("worker-2")
    with capture_logs() as logs:
        await asyncio.gather(first.partitions.claim(PART), second.partitions.claim(PART))
        await until(lambda: len(first.partitions.claimed() + second.partitions.claimed()) == 1)
    epochs = [line["epoch"] for line in logs if line["event"] == "reads partition"]
    assert len(set(epochs)) == len(epochs)


async def test_an_error_in_one_ends_both_and_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def break_down(reader: EmbeddedPartitionReader, seq: int) -> None:
        raise LookupError(f"broken at {reader.partition}, {seq}")

    worker = world.worker()
    monkeypatch.setattr(EmbeddedPartitionReader, "ack", break_down)
    await worker.partitions.claim(PART)
    await read(world)
    await until(lambda: len(world.failures) == 1)
    assert worker.partitions.claimed() == []
    world.failures.clear()


async def test_an_error_in_one_is_told_where_the_first_was_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fetch(reader: EmbeddedPartitionReader) -> PartitionEvents:
        await until(lambda: readers(worker) == {FIRST, BESIDE})
        if reader is worker.partitions._claims[PART].readers[FIRST]:
            raise PartitionLost("another worker claimed it")
        raise LookupError("broken")

    worker = world.worker()
    monkeypatch.setattr(EmbeddedPartitionReader, "fetch", fetch)
    await worker.partitions.claim(PART)
    await until(lambda: [str(failure) for failure in world.failures] == ["broken"])
    assert worker.partitions.claimed() == []
    world.failures.clear()
