"""What the NATS log adds to the contract: the streams' config, headers, and the fencing of partitions."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from fanout import Deliveries, partition_of, subjects
from fanout.errors import FanoutError, PartitionLost, StorageFull, TooLarge, Unavailable
from fanout.ports.log import Appended, StoredEvent
from fanout.streams import DEAD, MESSAGES, META, RECEIPTS, STREAMS
from services.adapters.embedded.deployment import EmbeddedDeployment
from services.adapters.nats import NatsConnection, NatsLog, api, continuous_pull, fencing, work_queue
from services.adapters.nats import log as log_module
from services.adapters.nats.continuous_pull import ContinuousPull
from services.adapters.nats.delivery import batch_of, events_of
from services.adapters.nats.fencing import Claimant
from services.adapters.nats.names import Names
from services.adapters.nats.partition import NatsPartitionReader
from services.adapters.nats.stream import NatsStream
from services.adapters.nats.tail import NatsTail
from services.adapters.nats.work_queue import NatsConsumer
from tests.support.nats import UNHURRIED_S, connected, open_log
from tests.support.reading import append_messages, channel_in, collect, seqs, soon, until
from tests.support.servers import NatsServer


class FullServer(NatsServer):
    """An account with little room."""

    def command(self) -> list[str]:
        config = self.folder / "server.conf"
        users = '{A: {jetstream: {max_file: 200000}, users: [{user: "a", password: "b"}]}}'
        config.write_text(f"accounts: {users}\nno_auth_user: a\n")
        return [*super().command(), "-c", str(config)]


@pytest.fixture
async def nc(nats_server: NatsServer) -> AsyncIterator[NatsConnection]:
    async with connected(nats_server.url) as connection:
        yield connection


class TestStreams:
    async def test_are_created_as_configured(self, nc: NatsConnection) -> None:
        await NatsLog.open(nc, EmbeddedDeployment("test"), partitions=3, keep_s=600)
        found = {info.config.name: info.config for info in await nc.jsm().streams_info()}
        assert all(tuple(config.subjects or ()) == STREAMS[str(name)].subjects for name, config in found.items())
        ages = {name: config.max_age for name, config in found.items()}
        assert ages == dict.fromkeys((MESSAGES, META, RECEIPTS), 600) | {DEAD: 30 * 86_400}
        assert {(config.storage, config.num_replicas) for config in found.values()} == {("file", 1)}
        assert (found[MESSAGES].duplicate_window, found[DEAD].duplicate_window) == (120, 86_400)

    async def test_that_the_server_cannot_create_yet_are_tried_again(
        self, nc: NatsConnection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        call, refusals = api.call, iter([Unavailable("JetStream: error creating store for stream")] * 2)

        async def refusing(nc: NatsConnection, verb: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
            if verb == f"STREAM.CREATE.{META}" and (refusal := next(refusals, None)):
                raise refusal
            return await call(nc, verb, body)

        monkeypatch.setattr(api, "call", refusing)
        await NatsLog.open(nc, EmbeddedDeployment("test"), partitions=3)
        assert next(refusals, None) is None
        assert {info.config.name for info in await nc.jsm().streams_info()} == set(STREAMS)

    async def test_keep_their_partitions_whatever_is_configured_later(self, nc: NatsConnection) -> None:
        await NatsLog.open(nc, EmbeddedDeployment("test"), partitions=3)
        assert (await NatsLog.open(nc, EmbeddedDeployment("test"), partitions=8)).partitions == 3

    async def test_get_the_subjects_that_they_lack(self, nc: NatsConnection) -> None:
        await nc.jsm().add_stream(name=META, subjects=["channels.member.joined.*"])
        log = await NatsLog.open(nc, EmbeddedDeployment("test"))
        await log.append(subjects.member_left("general"), b"", msg_id="a")
        assert await log.last_seq(META) == 1

    async def test_of_another_maker_are_refused(self, nc: NatsConnection) -> None:
        await nc.jsm().add_stream(name=MESSAGES, subjects=["messages.send.*"])
        with pytest.raises(FanoutError, match="without partitions"):
            await NatsLog.open(nc, EmbeddedDeployment("test"))

    async def test_put_each_channel_where_partition_of_says(self, nc: NatsConnection) -> None:
        log = await open_log(nc, 7)
        channels = ["general", "A-b_9", "x", *(f"channel-{number}" for number in range(50))]
        for channel in channels:
            await append_messages(log, channel, [0])
        manager = nc.jsm()
        for seq, channel in enumerate(channels, 1):
            stored = (await manager.get_msg(MESSAGES, seq)).subject
            assert stored == f"messages.send.{partition_of(channel, 7)}.{channel}"

    @pytest.mark.parametrize(
        ("stored", "published"),
        [
            ("messages.send.3.general", "messages.send.general"),
            ("messages.send.0.0", "messages.send.0"),
            ("channels.member.joined.general", "channels.member.joined.general"),
            ("dead.MESSAGES.general", "dead.MESSAGES.general"),
        ],
    )
    def test_give_subjects_back_as_published(self, stored: str, published: str) -> None:
        assert Names().published(stored) == published


class TestErrors:
    @pytest.mark.parametrize(
        ("code", "err_code"), [(503, 10023), (500, 10047), (400, 10002), (409, 10158), (429, 10167)]
    )
    def test_what_ends_by_itself_is_unavailable(self, code: int, err_code: int) -> None:
        with pytest.raises(Unavailable):
            api.checked(b'{"error": {"code": %d, "err_code": %d, "description": "no"}}' % (code, err_code))

    def test_what_does_not_is_refused(self) -> None:
        with pytest.raises(api.RequestRefused):
            api.checked(b'{"error": {"code": 400, "err_code": 10052, "description": "invalid"}}')
        with pytest.raises(TooLarge):
            api.checked(b'{"error": {"code": 400, "err_code": 10054, "description": "too large"}}')

    async def test_a_full_server_is_told_apart_and_does_not_claim_to_be_well(self, tmp_path: Path) -> None:
        server = FullServer(tmp_path)
        server.start()
        try:
            async with connected(server.url) as nc:
                log = await open_log(nc, 1)
                message = subjects.message("general")
                appends = (log.append(message, bytes(10_000), msg_id=f"{number}") for number in range(100))
                results = await asyncio.gather(*appends, return_exceptions=True)
                assert {type(result) for result in results} == {Appended, StorageFull}
                for _ in range(2):
                    with pytest.raises(StorageFull):
                        await log.ping()
        finally:
            server.close()


class TestBury:
    async def test_says_why_and_whence_on_one_line_each(self, nc: NatsConnection) -> None:
        log = await open_log(nc, 1)
        event = StoredEvent(7, "messages.send.general", b"broken")
        await log.dead_letter(MESSAGES, event, "bad\r\nFanout-Seq: 9\x00" + "x" * 5_000)
        headers = (await nc.jsm().get_msg(DEAD, 1)).headers
        assert headers is not None
        assert headers["Fanout-Seq"] == "7"
        assert headers["Fanout-Subject"] == "messages.send.general"
        assert headers["Nats-Msg-Id"] == "MESSAGES:7"
        assert headers["Fanout-Reason"].startswith("bad  Fanout-Seq: 9 xxx")
        assert len(headers["Fanout-Reason"]) <= 1_000


class TestDelivery:
    def test_has_the_subject_as_published(self) -> None:
        deliveries = Deliveries.of([(31, "messages.send.0.general", b"x"), (32, "messages.send.7.random", b"y")])
        expected = [StoredEvent(31, "messages.send.general", b"x"), StoredEvent(32, "messages.send.random", b"y")]
        assert events_of(deliveries, Names()) == expected
        batch = batch_of(deliveries, Names())
        assert (len(batch), batch[-1], batch[:1], batch.last_seq) == (2, expected[1], expected[:1], 32)


class TestStandingPull:
    @staticmethod
    async def _lose(log: NatsLog, pull: ContinuousPull, channel: str) -> None:
        """Append an event that the server delivers, to a reader that waits, and that never comes."""
        assert pull._subscription is not None
        sid, arrived = pull._subscription._id, pull._nc._ps._arrived
        kept, lost = arrived[sid], asyncio.Event()

        def lose() -> None:
            pull._buffer.attach(pull._consumer)
            arrived[sid] = kept
            lost.set()

        pull._buffer.pause()
        arrived[sid] = lose
        await append_messages(log, channel, [0])
        await soon(lost.wait())

    async def test_a_tail_notices_a_loss_though_nothing_follows(self, nc: NatsConnection) -> None:
        log = await open_log(nc, 1)
        tail = await log.tail(MESSAGES, after=0)
        fetching = asyncio.create_task(collect(tail, 1))
        await self._lose(log, tail._view._pull, "general")
        assert seqs(await fetching) == [1]
        await tail.close()

    async def test_a_consumer_gets_again_what_was_lost_and_nothing_that_it_still_holds(
        self, nc: NatsConnection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(work_queue, "_ACK_WAIT_S", 2)
        monkeypatch.setattr(work_queue, "_CLAIM_EVERY_S", 0.05)
        log = await open_log(nc, 1)
        consumer = await log.consume(MESSAGES, "writer", batch=2)
        fetching = asyncio.create_task(collect(consumer, 6))
        await self._lose(log, consumer._pull, "general")
        await append_messages(log, "general", range(1, 6))
        events = await fetching
        await append_messages(log, "general", [6])  # it comes after all that would come again
        events += await collect(consumer, 1)
        assert sorted(seqs(events)) == list(range(1, 8))
        assert {event.seq for event in events if event.delivery > 1} == {1}
        await consumer.close()

    async def test_a_partition_keeps_its_order_over_a_loss(self, nc: NatsConnection) -> None:
        log = await open_log(nc, 1)
        claimed = (reader := await log.claim(MESSAGES, 0, "worker")).epoch
        fetching = asyncio.create_task(collect(reader, 3))
        await self._lose(log, reader._pull, "general")
        await append_messages(log, "general", range(1, 3))
        assert seqs(await fetching) == [1, 2, 3]
        assert reader.epoch > claimed
        await reader.close()

    async def test_who_asks_whether_it_has_caught_up_does_not_move_the_epoch_that_is_being_taken(
        self, nc: NatsConnection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = await open_log(nc, 1)
        claimed = (reader := await log.claim(MESSAGES, 0, "worker")).epoch
        take, taken, go_on = fencing.take, asyncio.Event(), asyncio.Event()

        async def slowly(stream: NatsStream, claimant: Claimant, epoch: int, after: int) -> None:
            await take(stream, claimant, epoch, after)
            taken.set()
            await go_on.wait()

        monkeypatch.setattr(fencing, "take", slowly)
        fetching = asyncio.create_task(collect(reader, 1))
        await asyncio.sleep(0)
        reader._pull.interrupt("as after a reconnect")
        await soon(taken.wait())
        assert await reader.caught_up() is None
        assert reader.epoch == claimed
        go_on.set()
        await append_messages(log, "general", [1])
        assert seqs(await fetching) == [1]
        assert [claimed] < await fencing.epochs(reader._stream, 0) == [reader.epoch]
        await reader.close()

    async def test_a_partition_passes_over_what_the_server_delivers_again(self, nc: NatsConnection) -> None:
        log = await open_log(nc, 1)
        await append_messages(log, "general", range(3))
        reader = await log.claim(MESSAGES, 0, "worker")
        events = await collect(reader, 3)
        await nc.publish(events[1].token, b"-NAK")
        await append_messages(log, "general", [3])
        events += await collect(reader, 1)
        assert seqs(events) == [1, 2, 3, 4]
        await reader.ack(events[-1].seq)
        assert await until(reader.caught_up) == 4
        await reader.close()

    async def test_a_partition_is_not_caught_up_with_what_its_consumer_has_not_heard_of(
        self, nc: NatsConnection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The server counts an event in the stream before it tells the consumers: their counts come late."""
        log = await open_log(nc, 2)
        channels = [channel_in(part, 2) for part in range(2)]
        reader = await log.claim(MESSAGES, 0, "worker")
        assert await until(reader.caught_up) == 0
        deaf = await api.consumer_info(nc, MESSAGES, fencing.consumer_name(0, reader.epoch))

        async def consumer_info(*_: object) -> dict[str, object]:
            return deaf

        monkeypatch.setattr(api, "consumer_info", consumer_info)
        await append_messages(log, channels[1], [1])
        assert await reader.caught_up() == 1
        await append_messages(log, channels[0], [2])
        await append_messages(log, channels[1], [3])
        assert await reader.caught_up() is None
        events = await collect(reader, 1)
        assert await reader.caught_up() is None
        await reader.ack(events[-1].seq)
        assert await reader.caught_up() == 3
        await reader.close()

    async def test_no_more_is_requested_than_there_is_room_for(self, nc: NatsConnection) -> None:
        log = await open_log(nc, 1)
        await append_messages(log, "general", range(100))
        consumer = await log.consume(MESSAGES, "writer", batch=5)
        await soon(consumer.fetch())

        async def delivered() -> int | None:
            info = await api.consumer_info(nc, MESSAGES, "writer")
            return info["num_ack_pending"] if info["num_waiting"] == 0 else None

        assert await until(delivered) <= 4 * 5
        await consumer.close()

    async def test_a_request_that_brought_all_it_asked_for_interrupts_nothing(
        self, nc: NatsConnection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(log_module, "_ORDERED_BATCH", 5)
        reasons: list[str] = []
        monkeypatch.setattr(ContinuousPull, "interrupt", lambda _, reason: reasons.append(reason))
        log = await open_log(nc, 1, heartbeat=UNHURRIED_S)
        await append_messages(log, "general", range(100))
        readers: list[NatsTail | NatsPartitionReader | NatsConsumer] = [
            await log.tail(MESSAGES, after=0),
            await log.claim(MESSAGES, 0, "worker"),
            await log.consume(MESSAGES, "writer", batch=5),
        ]
        for reader in readers:
            assert seqs(await collect(reader, 100)) == list(range(1, 101))
            await reader.close()
        assert reasons == []

    async def test_large_events_are_bounded_by_their_bytes(
        self, nc: NatsConnection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(continuous_pull, "REQUEST_BYTES", 0)  # then it is twice the largest payload
        log = await open_log(nc, 1, heartbeat=UNHURRIED_S)
        for number in range(20):
            await log.append(subjects.message("general"), bytes(900_000), msg_id=f"{number}")
        claimed = (reader := await log.claim(MESSAGES, 0, "worker")).epoch
        events = list(await soon(reader.fetch()))

        async def standing() -> bool | None:
            info = await api.consumer_info(nc, MESSAGES, fencing.consumer_name(0, reader.epoch))
            return True if info["num_waiting"] == 0 and reader._pull._buffer.bytes else None

        await until(standing)
        assert 0 < reader._pull._buffer.bytes <= 4 * 2 * nc.max_payload
        events += await collect(reader, 20 - len(events))
        assert seqs(events) == list(range(1, 21))
        assert reader.epoch == claimed
        await reader.close()

    async def test_a_fetch_ends_when_its_reader_is_closed(self, nc: NatsConnection) -> None:
        log = await open_log(nc, 1)
        readers: list[NatsTail | NatsPartitionReader | NatsConsumer] = [
            await log.tail(MESSAGES, after=0),
            await log.claim(MESSAGES, 0, "worker"),
            await log.consume(MESSAGES, "writer"),
        ]
        for reader in readers:
            waiting = asyncio.create_task(reader.fetch())
            await asyncio.sleep(0)
            await reader.close()
            with pytest.raises(Unavailable, match="closed"):
                await soon(waiting)


class TestFencing:
    @staticmethod
    def _claimant(name: str) -> Claimant:
        return Claimant(0, name, token=name)

    @staticmethod
    async def _stream(nc: NatsConnection) -> NatsStream:
        return (await open_log(nc, 1))._streams[MESSAGES]

    async def test_an_epoch_has_one_owner(self, nc: NatsConnection) -> None:
        stream = await self._stream(nc)
        await fencing.take(stream, self._claimant("a"), 1, 0)
        with pytest.raises(PartitionLost, match="at the same moment"):
            await fencing.take(stream, self._claimant("b"), 1, 0)
        assert await fencing.owned_by(stream, self._claimant("a"), 1)
        assert not await fencing.owned_by(stream, self._claimant("b"), 1)

    async def test_whoever_was_away_while_epochs_passed_does_not_come_back(self, nc: NatsConnection) -> None:
        stream = await self._stream(nc)
        await fencing.take(stream, self._claimant("newest"), 5, 0)
        with pytest.raises(PartitionLost, match="epoch 5"):
            await fencing.take(stream, self._claimant("late"), 4, 0)
        assert await fencing.epochs(stream, 0) == [5]

    async def test_the_position_is_the_highest_of_all_epochs(self, nc: NatsConnection) -> None:
        log = await open_log(nc, 1, heartbeat=UNHURRIED_S)
        stored = await append_messages(log, "general", range(5))
        reader = await log.claim(MESSAGES, 0, "worker")
        # A claim whose answer was lost: its consumer exists, and nobody reads it.
        name = fencing.consumer_name(0, unread := reader.epoch + 3_600_000)
        config = {"name": name, "durable_name": name, "filter_subject": "messages.send.0.*"}
        await api.create_consumer(nc, MESSAGES, config | {"ack_policy": "explicit"})
        await reader.ack((await collect(reader, 5))[-1].seq)
        await reader.close()
        successor = await log.claim(MESSAGES, 0, "successor")
        assert (successor.epoch, successor.position) == (unread + 1, stored[-1])
        await successor.close()

    async def test_a_reader_goes_on_from_its_own_claim_without_an_answer(self, nc: NatsConnection) -> None:
        log = await open_log(nc, 1, heartbeat=UNHURRIED_S)
        stored = await append_messages(log, "general", range(3))
        reader = await log.claim(MESSAGES, 0, "worker")
        await reader.ack((await collect(reader, 3))[0].seq)
        await fencing.take(reader._stream, reader._claimant, claimed := reader.epoch + 1, stored[0])
        await append_messages(log, "general", [3])
        assert seqs(await soon(reader.fetch())) == [4]
        assert reader.epoch > claimed
        await reader.close()

    async def test_an_epoch_shows_its_owner(self, nc: NatsConnection) -> None:
        log = await open_log(nc, 1)
        reader = await log.claim(MESSAGES, 0, "worker-7")
        info = await nc.jsm().consumer_info(MESSAGES, fencing.consumer_name(0, reader.epoch))
        assert (info.config.metadata or {})["owner"] == "worker-7"
        await reader.close()
