"""The partitions of two streams are claimed and released together, and membership lanes have one epoch."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from fanout import PartitionLost, Unavailable
from fanout.ports.log import PartitionEvents
from fanout.streams import DEAD, MESSAGES, META
from services.adapters.embedded.readers import EmbeddedPartitionReader, Partition
from services.fan_out import partitions as partitions_module
from services.runtime import tasks as tasks_module
from tests.support.observing import until
from tests.support.partition_worlds import CHANNEL, PART, PARTS, World, opened_world


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_module, "FIRST_DELAY_S", 0.001)
    monkeypatch.setattr(tasks_module, "LONGEST_DELAY_S", 0.002)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with opened_world() as world:
        yield world
        assert not world.failures


class TestTwoStreams:
    """Another stream is read by partition: here META stands for it, as the table has one such stream.

    DEAD stands for the stream of membership changes, which is empty here.
    """

    @pytest.fixture(autouse=True)
    def two_streams(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(partitions_module, "ROUTED_STREAMS", (MESSAGES, META))
        monkeypatch.setattr(partitions_module, "MEMBERSHIP_STREAM", DEAD)
        world.log._partitions |= {(META, part): Partition(part, 0, 0) for part in range(PARTS)}

    async def test_events_of_both_are_read_and_acknowledged(self, world: World) -> None:
        worker = world.worker()
        worker.partitions.meta_handled(1)
        await worker.partitions.claim(PART)
        await world.post(3)
        await world.log.append(f"channels.member.joined.{CHANNEL}", b"no event", msg_id="joined")
        await until(lambda: worker.told() == [1, 2, 3])
        await until(lambda: world.log._streams[DEAD].last_seq == 1)
        await worker.partitions.release(PART)
        assert await world.acknowledged() == 3
        assert (await world.log.claim(META, PART, "looks")).position == 1

    async def test_who_loses_one_gives_up_the_other_after_the_batch_in_hand(self, world: World) -> None:
        worker = world.worker()
        worker.bus.blocked = True
        await world.post(3)
        await worker.partitions.claim(PART)
        await until(lambda: worker.bus.offered == 1)
        await world.log.claim(META, PART, "takes")
        for _ in range(20):
            await asyncio.sleep(0)
        assert worker.partitions.claimed() == [PART]
        worker.bus.blocked = False
        await until(lambda: worker.partitions.claimed() == [])
        assert worker.told() == [1, 2, 3]
        assert await world.acknowledged() == 3

    @pytest.mark.parametrize("turns", range(16))
    async def test_a_release_at_any_moment_ends_both_after_the_batch_in_hand(self, world: World, turns: int) -> None:
        first, second = world.worker("worker-1"), world.worker("worker-2")
        await world.post(5)
        await first.partitions.claim(PART)
        for _ in range(turns):
            await asyncio.sleep(0)
        await first.partitions.release(PART)
        assert first.partitions.claimed() == []
        await second.partitions.claim(PART)
        await until(lambda: sorted(first.told() + second.told()) == [1, 2, 3, 4, 5])

    async def test_who_gets_one_alone_keeps_neither(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        claim, given = world.log.claim, list[EmbeddedPartitionReader]()

        async def lose(stream: str, part: int, owner: str) -> EmbeddedPartitionReader:
            if given:
                raise PartitionLost("another was first")
            given.append(await claim(stream, part, owner))
            return given[0]

        worker = world.worker()
        with monkeypatch.context() as losing:
            losing.setattr(world.log, "claim", lose)
            await worker.partitions.claim(PART)
        assert worker.partitions.claimed() == []
        with pytest.raises(Unavailable, match="closed"):
            await given[0].fetch()

    async def test_each_reader_is_closed_where_the_first_cannot_be(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        closed: list[EmbeddedPartitionReader] = []

        async def close(reader: EmbeddedPartitionReader) -> None:
            closed.append(reader)
            raise LookupError("broken")

        worker = world.worker()
        monkeypatch.setattr(EmbeddedPartitionReader, "close", close)
        await worker.partitions.claim(PART)
        await asyncio.sleep(0)
        await worker.partitions.release(PART)
        assert len(closed) == 2
        await until(lambda: [str(failure) for failure in world.failures] == ["broken"])
        world.failures.clear()

    async def test_no_two_workers_route_under_the_same_epoch(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        claim, overtaken = world.log.claim, asyncio.Event()

        async def claim_in_turn(stream: str, part: int, owner: str) -> EmbeddedPartitionReader:
            if (stream, owner) == (META, "worker-1"):
                await overtaken.wait()
            return await claim(stream, part, owner)

        monkeypatch.setattr(world.log, "claim", claim_in_turn)
        first, second = world.worker("worker-1"), world.worker("worker-2")
        with capture_logs() as logs:
            claiming = asyncio.create_task(first.partitions.claim(PART))
            await until(lambda: world.log._partitions[MESSAGES, PART].epoch == 1)
            await second.partitions.claim(PART)
            overtaken.set()
            await claiming
        epochs = [line["epoch"] for line in logs if line["event"] == "reads partition"]
        assert len(set(epochs)) == len(epochs) == 2

    async def test_an_error_in_one_ends_both_and_is_told(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        async def break_down(reader: EmbeddedPartitionReader, seq: int) -> None:
            raise LookupError(f"broken at {reader.partition}, {seq}")

        worker = world.worker()
        monkeypatch.setattr(EmbeddedPartitionReader, "ack", break_down)
        await worker.partitions.claim(PART)
        await world.post(1)
        await until(lambda: len(world.failures) == 1)
        assert worker.partitions.claimed() == []
        world.failures.clear()

    async def test_an_error_in_one_is_told_where_the_other_was_lost(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fetch(reader: EmbeddedPartitionReader) -> PartitionEvents:
            if reader is next(iter(worker.partitions._claims[PART].readers.values())):
                raise PartitionLost("another worker claimed it")
            raise LookupError("broken")

        worker = world.worker()
        monkeypatch.setattr(EmbeddedPartitionReader, "fetch", fetch)
        await worker.partitions.claim(PART)
        await until(lambda: [str(failure) for failure in world.failures] == ["broken"])
        assert worker.partitions.claimed() == []
        world.failures.clear()
