"""Reading partitions: in order, acknowledged after publication, and handed over without an event lost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec import Raw
from structlog.testing import capture_logs

from fanout import Engine, PartitionLost, Unavailable, decode_batch, partition_of
from fanout.events import Message, MessageEvent, encode, timestamp
from fanout.ids import new_event_id, new_message_id
from fanout.lanes import Lane
from fanout.ports.log import StoredBatch
from fanout.streams import DEAD, MESSAGES, META
from fanout.subjects import message
from services.adapters.embedded.log import EmbeddedLog
from services.adapters.embedded.readers import EmbeddedPartitionReader, Partition
from services.fan_out import partitions as partitions_module
from services.fan_out.partitions import Partitions
from services.fan_out.publisher import Publisher
from services.runtime import tasks as tasks_module
from services.runtime.tasks import Tasks
from tests.support.faulty import FaultyBus
from tests.support.observing import until

PARTS = 2
CHANNEL = "general"
PART = partition_of(CHANNEL, PARTS)


class Worker:
    """A worker with one instance, `notif-1`, that reads the channel."""

    def __init__(self, name: str, log: EmbeddedLog, tasks: Tasks) -> None:
        self.bus = FaultyBus()
        self.engine = Engine()
        self.engine.user_online("alice", "notif-1", [CHANNEL])
        self.publisher = Publisher(self.engine, self.bus)
        self.partitions = Partitions(name, self.engine, log, self.publisher, tasks)
        tasks.start(self.publisher.run(), "publisher")

    def told(self) -> list[int]:
        """The seqs of the messages that the instance was told of, in order."""
        return [record.seq for record in self._records() if record.channel]

    def marked_upto(self, part: int = PART) -> int:
        """How far the instance knows the lane of MESSAGES to have come."""
        lane = Lane(MESSAGES, part).number
        return max((record.seq for record in self._records() if record.lane == lane), default=0)

    def _records(self) -> list[Any]:
        return [record for _, payload in self.bus.published for record in decode_batch(payload)]


class World:
    def __init__(self, log: EmbeddedLog, tasks: Tasks) -> None:
        self.log = log
        self._tasks = tasks
        self.failures: list[BaseException] = []

    def worker(self, name: str = "worker-1") -> Worker:
        return Worker(name, self.log, self._tasks)

    async def post(self, count: int) -> None:
        for number in range(count):
            body = Message(new_message_id(), CHANNEL, "bob", str(number), timestamp())
            event = MessageEvent(new_event_id(), "message.new", CHANNEL, Raw(encode(body)))
            await self.append(encode(event))

    async def append(self, payload: bytes) -> None:
        await self.log.append(message(CHANNEL), payload, msg_id=new_event_id())

    async def acknowledged(self) -> int:
        """Where the next reader would begin; it becomes the reader."""
        reader = await self.log.claim(MESSAGES, PART, "looks")
        return reader.position


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_module, "FIRST_DELAY_S", 0.001)
    monkeypatch.setattr(tasks_module, "LONGEST_DELAY_S", 0.002)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with _opened() as world:
        yield world
        assert not world.failures


@asynccontextmanager
async def _opened() -> AsyncIterator[World]:
    log = await EmbeddedLog.open(None, partitions=PARTS)
    failures: list[BaseException] = []
    async with Tasks(failures.append) as tasks:
        world = World(log, tasks)
        world.failures = failures
        yield world
    await log.close()


def _failing(monkeypatch: pytest.MonkeyPatch, where: object, name: str, times: int) -> list[str]:
    """Let a method of an adapter be unavailable so many times; each call's name."""
    method: Callable[..., Any] = getattr(where, name)
    calls: list[str] = []

    async def fail(*arguments: Any, **options: Any) -> Any:
        calls.append(name)
        if len(calls) <= times:
            raise Unavailable("away")
        return await method(*arguments, **options)

    monkeypatch.setattr(where, name, fail)
    return calls


async def test_events_are_published_in_order_and_acknowledged(world: World) -> None:
    worker = world.worker()
    await world.post(30)
    await worker.partitions.claim(PART)
    await until(lambda: len(worker.told()) == 30)
    await world.post(30)
    await until(lambda: len(worker.told()) == 60)
    assert worker.told() == list(range(1, 61))
    await worker.partitions.release(PART)
    assert await world.acknowledged() == 60


async def test_nothing_is_acknowledged_that_the_bus_has_not_taken(world: World) -> None:
    worker = world.worker()
    worker.bus.down = True
    await world.post(3)
    await worker.partitions.claim(PART)
    await until(lambda: worker.bus.offered >= 3)
    assert await world.acknowledged() == 0
    worker.bus.down = False


async def test_a_release_ends_the_batch_in_hand_first(world: World) -> None:
    worker = world.worker()
    worker.bus.held = True
    await world.post(3)
    await worker.partitions.claim(PART)
    await until(lambda: worker.bus.offered == 1)
    releasing = asyncio.create_task(worker.partitions.release(PART))
    again = asyncio.create_task(worker.partitions.release(PART))
    await asyncio.sleep(0.01)
    assert not releasing.done()
    worker.bus.held = False
    await asyncio.gather(releasing, again)
    assert worker.told() == [1, 2, 3]
    assert worker.partitions.held() == []
    assert await world.acknowledged() == 3


@pytest.mark.parametrize("call", ["settle", "ack"])
async def test_an_error_while_a_release_ends_the_batch_in_hand_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    begun, released = asyncio.Event(), asyncio.Event()

    async def break_down(*_: object) -> None:
        begun.set()
        await released.wait()
        raise LookupError(f"{call} is broken")

    worker = world.worker()
    monkeypatch.setattr(EmbeddedPartitionReader if call == "ack" else worker.publisher, call, break_down)
    await world.post(1)
    await worker.partitions.claim(PART)
    await begun.wait()
    releasing = asyncio.create_task(worker.partitions.release(PART))
    await asyncio.sleep(0)
    released.set()
    await releasing
    assert worker.partitions.held() == []
    await until(lambda: [str(failure) for failure in world.failures] == [f"{call} is broken"])
    world.failures.clear()


@pytest.mark.parametrize("turns", range(12))
async def test_a_release_at_any_moment_loses_nothing(world: World, turns: int) -> None:
    first, second = world.worker("worker-1"), world.worker("worker-2")
    await world.post(5)
    await first.partitions.claim(PART)
    for _ in range(turns):
        await asyncio.sleep(0)
    await first.partitions.release(PART)
    assert first.partitions.held() == []
    await second.partitions.claim(PART)
    await until(lambda: sorted(first.told() + second.told()) == [1, 2, 3, 4, 5])


async def test_one_who_loses_a_partition_gives_it_up_and_keeps_the_others(world: World) -> None:
    first, second = world.worker("worker-1"), world.worker("worker-2")
    for part in range(PARTS):
        await first.partitions.claim(part)
    await second.partitions.claim(PART)
    await until(lambda: first.partitions.held() == [1 - PART])
    await world.post(3)
    await until(lambda: second.told() == [1, 2, 3])
    assert first.told() == []
    assert not first.partitions.holds(PART)


async def test_of_two_who_claim_at_once_one_reads(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def lose(*_: object) -> None:
        raise PartitionLost("another was first")

    worker = world.worker()
    with monkeypatch.context() as losing:
        losing.setattr(world.log, "claim", lose)
        await worker.partitions.claim(PART)
    assert worker.partitions.held() == []
    await worker.partitions.claim(PART)
    assert worker.partitions.held() == [PART]


async def test_a_claim_while_the_log_is_away_leaves_nothing_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = world.worker()
    _failing(monkeypatch, world.log, "claim", times=1)
    with pytest.raises(Unavailable):
        await worker.partitions.claim(PART)
    assert worker.partitions.held() == []
    await worker.partitions.claim(PART)
    assert worker.partitions.held() == [PART]


@pytest.mark.parametrize("call", ["ack", "dead_letter", "last_seq"])
async def test_each_call_to_the_log_is_repeated_while_it_is_away(
    world: World, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    worker = world.worker()
    calls = _failing(monkeypatch, EmbeddedPartitionReader if call == "ack" else world.log, call, times=3)
    await world.append(b"no event")
    await world.post(2)
    await worker.partitions.claim(PART)
    await until(lambda: worker.told() == [2, 3])
    await until(lambda: len(calls) >= 4)
    await worker.partitions.release(PART)
    assert await world.acknowledged() == 3


async def test_an_event_that_cannot_be_delivered_is_a_dead_letter_and_the_next_ones_arrive(world: World) -> None:
    worker = world.worker()
    await world.append(b"no event")
    await world.post(1)
    await world.append(b"{}")
    await worker.partitions.claim(PART)
    await until(lambda: worker.told() == [2])
    await until(lambda: world.log._streams[DEAD].last_seq == 2)


async def test_nothing_is_read_before_the_membership_changes_that_the_last_reader_knew(world: World) -> None:
    worker = world.worker()
    await world.log.append("channels.member.joined.general", b"{}", msg_id="joined")
    await world.post(1)
    await worker.partitions.claim(PART)
    await asyncio.sleep(0.05)
    assert worker.told() == []
    worker.partitions.meta_handled(1)
    await until(lambda: worker.told() == [1])


async def test_quiet_partitions_say_how_far_they_have_come(world: World) -> None:
    worker = world.worker()
    await world.post(2)
    for part in range(PARTS):
        await worker.partitions.claim(part)
    await until(lambda: worker.told() == [1, 2])
    await worker.publisher.settle()
    await worker.partitions.find_idle_positions()
    worker.engine.mark()
    await worker.publisher.settle()
    assert worker.marked_upto(1 - PART) == 2


async def test_one_who_looks_for_idle_positions_of_a_lost_partition_only_passes_over_it(world: World) -> None:
    first, second = world.worker("worker-1"), world.worker("worker-2")
    for part in range(PARTS):
        await first.partitions.claim(part)
    taking = asyncio.create_task(second.partitions.claim(PART))
    for _ in range(20):
        await first.partitions.find_idle_positions()
    await taking
    await until(lambda: first.partitions.held() == [1 - PART])


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
        worker.bus.held = True
        await world.post(3)
        await worker.partitions.claim(PART)
        await until(lambda: worker.bus.offered == 1)
        await world.log.claim(META, PART, "takes")
        for _ in range(20):
            await asyncio.sleep(0)
        assert worker.partitions.held() == [PART]
        worker.bus.held = False
        await until(lambda: worker.partitions.held() == [])
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
        assert first.partitions.held() == []
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
        assert worker.partitions.held() == []
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
        assert worker.partitions.held() == []
        world.failures.clear()

    async def test_an_error_in_one_is_told_where_the_other_was_lost(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fetch(reader: EmbeddedPartitionReader) -> StoredBatch:
            if reader is next(iter(worker.partitions._held[PART].readers.values())):
                raise PartitionLost("another worker claimed it")
            raise LookupError("broken")

        worker = world.worker()
        monkeypatch.setattr(EmbeddedPartitionReader, "fetch", fetch)
        await worker.partitions.claim(PART)
        await until(lambda: [str(failure) for failure in world.failures] == ["broken"])
        assert worker.partitions.held() == []
        world.failures.clear()
