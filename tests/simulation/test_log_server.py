import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from fanout.errors import OutcomeUnknown, StorageFull, Unavailable
from fanout.ports.log import Reset
from fanout.streams import MESSAGE_WRITER, MESSAGES, UNREAD_COUNTER
from tests.simulation.log_server import NOTICED_WITHIN_S
from tests.support.simulated import LogStage
from tests.support.stored import stored_message


def on_log(work: Callable[[LogStage], Awaitable[Any]], seed: int = 1) -> Any:
    """What comes of something that happens to an open log."""
    stage = LogStage(seed)

    async def live() -> Any:
        async with stage.opened():
            return await work(stage)

    return stage.run(live)


async def seqs_read(stage: LogStage, after: int = 0, upto: int = 1 << 62) -> list[int]:
    return [event.seq async for event in stage.log.read(MESSAGES, after=after, upto=upto)]


async def lose(stage: LogStage, count: int) -> int:
    """Lose the newest messages."""
    lost: int = await stage.at_server(partial(stage.server_log.lose_newest, MESSAGES, count))
    return lost


def test_what_a_process_appends_is_noted_once() -> None:
    async def work(stage: LogStage) -> None:
        subject, payload = "messages.send.room1", stored_message("room1")
        first = await stage.at_client(stage.log.append(subject, payload, msg_id="msg_1"))
        again = await stage.at_client(stage.log.append(subject, payload, msg_id="msg_1"))
        assert (first.duplicate, again.duplicate) == (False, True)
        assert stage.stored == [first.seq] == [again.seq]
        event = await stage.at_client(stage.log.get(MESSAGES, first.seq))
        assert event.payload == payload
        assert await stage.at_client(stage.log.last_seq(MESSAGES)) == first.seq
        await stage.at_client(stage.log.ping())

    on_log(work)


def test_a_range_of_several_pages_is_read_whole() -> None:
    async def work(stage: LogStage) -> None:
        await stage.append(20)
        assert await stage.at_client(seqs_read(stage)) == list(range(1, 21))
        assert await stage.at_client(seqs_read(stage, after=3, upto=15)) == list(range(4, 16))

    on_log(work)


def test_a_log_that_is_full_refuses_what_it_is_to_refuse() -> None:
    async def work(stage: LogStage) -> None:
        stage.refused["append"] = StorageFull("the stream has no room")
        with pytest.raises(StorageFull):
            await stage.at_client(stage.log.append("messages.send.room1", b"{}", msg_id="msg_1"))
        assert await stage.at_client(stage.log.last_seq(MESSAGES)) == 0

    on_log(work)


def test_an_append_without_a_connection_is_not_done_and_one_that_is_not_answered_may_be() -> None:
    async def work(stage: LogStage) -> None:
        append = partial(stage.log.append, "messages.send.room1", stored_message("room1"), msg_id="msg_1")
        stage.link.cut()
        with pytest.raises(Unavailable) as raised:
            await stage.at_client(append())
        assert not isinstance(raised.value, OutcomeUnknown)
        stage.link.repair()
        appending = stage.client.start(append(), "appending")
        await asyncio.sleep(0.002)
        stage.link.stall()
        with pytest.raises(OutcomeUnknown):
            await appending

    on_log(work)


@pytest.mark.parametrize("count", [1, 3, 1_000])
def test_a_log_that_has_lost_its_newest_events_gives_higher_positions_to_later_ones(count: int) -> None:
    async def work(stage: LogStage) -> None:
        before = await stage.append(5)
        assert await lose(stage, count) == min(count, 5)
        assert await stage.at_client(seqs_read(stage)) == before[: max(0, 5 - count)]
        after = await stage.append(3)
        assert after == sorted(after)
        assert after[0] > before[-1]
        assert await stage.at_client(seqs_read(stage)) == before[: max(0, 5 - count)] + after

    on_log(work)


def test_a_reset_tells_when_the_newest_event_that_survived_was_stored() -> None:
    async def work(stage: LogStage) -> None:
        await stage.append(1)
        await asyncio.sleep(10.0)
        await stage.append(2)
        await lose(stage, 2)
        assert [reset.stream for reset in stage.server_log.resets] == [MESSAGES]
        survived = (await stage.at_client(stage.log.get(MESSAGES, 1))).stored_ns
        assert stage.server_log.resets[0].survived_ns == pytest.approx(survived, abs=1e6)

    on_log(work)


def test_a_process_that_is_connected_notices_a_loss_by_itself() -> None:
    async def work(stage: LogStage) -> None:
        noticed: list[tuple[float, Reset]] = []
        stage.log.on_reset(lambda reset: noticed.append((stage.loop.time(), reset)))
        await stage.append(3)
        await lose(stage, 1)
        begin = stage.loop.time()
        await asyncio.sleep(NOTICED_WITHIN_S + 0.1)
        ((at, reset),) = noticed
        assert at - begin <= NOTICED_WITHIN_S
        assert reset == stage.server_log.resets[0]

    on_log(work)


@pytest.mark.parametrize("silent", ["cut", "stalled", "server paused"])
def test_a_process_without_a_connection_notices_a_loss_when_it_has_one_again(silent: str) -> None:
    async def work(stage: LogStage) -> None:
        noticed: list[float] = []
        stage.log.on_reset(lambda _: noticed.append(stage.loop.time()))
        await stage.append(3)
        await lose(stage, 1)
        faults: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
            "cut": (stage.link.cut, stage.link.repair),
            "stalled": (stage.link.stall, stage.link.flow),
            "server paused": (partial(stage.loop.pause, stage.server), partial(stage.loop.resume, stage.server)),
        }
        begin, end = faults[silent]
        begin()
        await asyncio.sleep(5.0)
        assert noticed == []
        end()
        ended = stage.loop.time()
        await asyncio.sleep(2.0)
        assert len(noticed) == 1
        assert noticed[0] - ended < 1.0

    on_log(work)


@pytest.mark.parametrize("seed", range(4))
def test_the_listeners_hear_of_a_loss_before_anything_newer_is_handed_on(seed: int) -> None:
    async def work(stage: LogStage) -> list[str]:
        happened: list[str] = []
        stage.log.on_reset(lambda _: happened.append("loss"))
        await stage.append(3)
        tail = await stage.at_client(stage.log.tail(MESSAGES, after=0))

        async def follow() -> None:
            while True:
                happened.extend(f"event {event.seq}" for event in await tail.fetch())

        stage.client.start(follow(), "following")
        await asyncio.sleep(0.5)
        await lose(stage, 2)
        newer = await stage.append(1)
        await asyncio.sleep(5.0)
        assert happened[-1] == f"event {newer[0]}"
        return happened[:-1]

    assert on_log(work, seed) == ["event 1", "event 2", "event 3", "loss"]


@pytest.mark.parametrize("seed", range(4))
def test_the_listeners_hear_of_a_loss_before_an_answer_is_handed_on(seed: int) -> None:
    async def work(stage: LogStage) -> None:
        noticed: list[Reset] = []
        end = stage.log.on_reset(noticed.append)
        await stage.append(3)
        await lose(stage, 1)
        subject, payload = "messages.send.room1", stored_message("room1")
        await stage.at_client(stage.log.append(subject, payload, msg_id="msg_new"))
        assert len(noticed) == 1
        end()
        await lose(stage, 1)
        await asyncio.sleep(5.0)
        assert len(noticed) == 1

    on_log(work, seed)


def test_a_process_that_starts_after_a_loss_does_not_hear_of_it_nor_one_that_was_killed() -> None:
    async def work(stage: LogStage) -> None:
        noticed: list[str] = []
        stage.log.on_reset(lambda _: noticed.append("killed"))
        await stage.append(2)
        stage.loop.kill(stage.client)
        await lose(stage, 1)
        later = stage.log_of(stage.link_of(stage.host("later")))
        later.on_reset(lambda _: noticed.append("later"))
        await asyncio.sleep(5.0)
        assert noticed == []

    on_log(work)


async def become_another(stage: LogStage) -> int:
    """Put another stream in the place of that of the messages."""
    lost: int = await stage.at_server(partial(stage.server_log.become_another, MESSAGES))
    return lost


def test_a_log_that_comes_back_as_another_holds_nothing_and_gives_higher_positions() -> None:
    async def work(stage: LogStage) -> None:
        before = await stage.append(5)
        assert await become_another(stage) == 5
        assert await stage.at_client(seqs_read(stage)) == []
        after = await stage.append(3)
        assert after == sorted(after)
        assert after[0] > before[-1]
        assert await stage.at_client(seqs_read(stage)) == after

    on_log(work)


def test_another_log_knows_no_message_id_of_the_one_before() -> None:
    async def work(stage: LogStage) -> None:
        append = partial(stage.log.append, "messages.send.room1", stored_message("room1"), msg_id="msg_1")
        first = await stage.at_client(append())
        await become_another(stage)
        again = await stage.at_client(append())
        assert not again.duplicate
        assert again.seq > first.seq

    on_log(work)


def test_another_log_is_noticed_once_also_by_who_remembers_an_event_of_the_one_before() -> None:
    async def work(stage: LogStage) -> None:
        noticed: list[Reset] = []
        stage.log.on_reset(noticed.append)
        (seq,) = await stage.append(1)
        event = await stage.at_client(stage.log.get(MESSAGES, seq))
        since = stage.server.machine.wall_ns() / 1e9
        await asyncio.sleep(1.0)
        await become_another(stage)
        await asyncio.sleep(NOTICED_WITHIN_S + 0.1)
        await stage.at_client(stage.log.recall(MESSAGES, seq, event.stored_ns))
        assert [reset.stream for reset in noticed] == [MESSAGES]
        assert await stage.at_client(stage.log.missed_reset(MESSAGES, since)) == noticed[0]

    on_log(work)


def test_another_log_is_read_on_by_the_readers_of_the_one_before() -> None:
    async def work(stage: LogStage) -> None:
        before = await stage.append(4)
        got: dict[str, list[int]] = {"consumer": [], "reader": [], "tail": []}
        consumer = await stage.at_client(stage.log.consume(MESSAGES, MESSAGE_WRITER))
        reader = await stage.at_client(stage.log.claim(MESSAGES, 0, "worker1"))
        tail = await stage.at_client(stage.log.tail(MESSAGES, after=0))

        async def read(name: str, source: Any) -> None:
            while True:
                events = await source.fetch()
                got[name] += [event.seq for event in events]
                if name == "consumer":
                    await source.ack(events)

        for name, source in (("consumer", consumer), ("reader", reader), ("tail", tail)):
            stage.client.start(read(name, source), name)
        await asyncio.sleep(1.0)
        stage.link.cut()
        await become_another(stage)
        stage.link.repair()
        after = await stage.append(2)
        await asyncio.sleep(5.0)
        assert got == dict.fromkeys(got, before + after)

    on_log(work)


async def delivered(stage: LogStage) -> list[int]:
    """What a worker is given that joins now."""
    consumer = await stage.at_client(stage.log.consume(MESSAGES, MESSAGE_WRITER))
    return [event.seq for event in await stage.at_client(consumer.fetch())]


@pytest.mark.parametrize(("before_s", "again"), [(0.01, [1, 2, 3]), (1.0, [])])
def test_a_log_that_was_killed_has_lost_the_acknowledgements_of_the_last_moment(
    before_s: float, again: list[int]
) -> None:
    async def work(stage: LogStage) -> None:
        await asyncio.sleep(0.55)  # between two times at which it writes them down
        await stage.append(3)
        consumer = await stage.at_client(stage.log.consume(MESSAGES, MESSAGE_WRITER))
        reader = await stage.at_client(stage.log.claim(MESSAGES, 0, "worker1"))
        await stage.at_client(consumer.ack(await stage.at_client(consumer.fetch())))
        await stage.at_client(reader.ack(3))
        await asyncio.sleep(before_s)
        stage.link.cut()
        stage.server_log.crash()
        stage.link.repair()
        (newest,) = await stage.append(1)
        assert await delivered(stage) == [*again, newest]
        claimed = await stage.at_client(stage.log.claim(MESSAGES, 0, "worker2"))
        assert claimed.position == (0 if again else 3)
        assert stage.server_log.resets == []

    on_log(work)


def test_the_lag_counts_what_neither_writer_nor_reader_has_acknowledged() -> None:
    async def work(stage: LogStage) -> None:
        assert await stage.at_server(stage.server_log.lag) == 0
        await stage.append(3)
        assert await stage.at_server(stage.server_log.lag) == 9
        reader = await stage.at_client(stage.log.claim(MESSAGES, 0, "worker1"))
        await stage.at_client(reader.ack(2))
        await asyncio.sleep(0.1)
        assert await stage.at_server(stage.server_log.lag) == 7
        for durable in (MESSAGE_WRITER, UNREAD_COUNTER):
            consumer = await stage.at_client(stage.log.consume(MESSAGES, durable))
            await stage.at_client(consumer.ack(await stage.at_client(consumer.fetch())))
        await stage.at_client(reader.ack(3))
        await asyncio.sleep(0.1)
        assert await stage.at_server(stage.server_log.lag) == 0
        assert await stage.at_client(stage.log.acknowledged(MESSAGES, MESSAGE_WRITER)) == 3

    on_log(work)
