"""Every accepted message is in the store, once, whatever the log and the store do meanwhile."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from msgspec import Raw

from fanout import InvalidEvent, Unavailable
from fanout.events import Message, MessageEvent, StoredMessage, encode, timestamp
from fanout.ids import new_event_id, new_message_id
from fanout.ports.log import StoredEvent
from fanout.ports.messages import IndexEntry, LogPlace, Page, Position
from fanout.subjects import message
from services.adapters.embedded.deployment import EmbeddedDeployment
from services.adapters.embedded.faults import FaultInjection
from services.adapters.embedded.log import EmbeddedLog
from services.adapters.sqlite.messages import SqliteMessages
from services.message_writer.writer import MessageWriter, running_writer
from tests.support.observing import until

COUNT = 300


class CountedMessages:
    """The store, with what is asked of it, and an outage on demand."""

    def __init__(self, store: SqliteMessages) -> None:
        self._store = store
        self.away = False
        self.refused = 0
        self.written: list[str] = []

    async def newest_place(self) -> LogPlace | None:
        return await self._store.newest_place()

    async def write(self, messages: Sequence[StoredMessage], newest: LogPlace | None = None) -> None:
        if self.away:
            self.refused += 1
            raise Unavailable("the store is away")
        await self._store.write(messages, newest)
        self.written += [message.message_id for message in messages]

    async def position_of(self, channel_id: str, message_id: str) -> Position | None:
        return await self._store.position_of(channel_id, message_id)

    async def index_entry(self, message_id: str) -> IndexEntry | None:
        return await self._store.index_entry(message_id)

    async def replies(
        self, thread_id: str, *, after: Position | None = None, limit: int = 50, max_bytes: int | None = None
    ) -> Page:
        return await self._store.replies(thread_id, after=after, limit=limit, max_bytes=max_bytes)

    async def reply_count(self, thread_id: str, *, after: int = -1, upto: int | None = None) -> int:
        return await self._store.reply_count(thread_id, after=after, upto=upto)

    async def history(
        self,
        channel_id: str,
        *,
        before: Position | None = None,
        after: Position | None = None,
        limit: int = 50,
        max_bytes: int | None = None,
    ) -> Page:
        return await self._store.history(channel_id, before=before, after=after, limit=limit, max_bytes=max_bytes)

    async def cursor_key(self) -> bytes:
        return await self._store.cursor_key()

    async def ping(self) -> None:
        await self._store.ping()


@pytest.fixture
async def messages() -> AsyncIterator[CountedMessages]:
    store = await SqliteMessages.open(None)
    yield CountedMessages(store)
    await store.close()


async def open_log(faults: FaultInjection | None = None) -> EmbeddedLog:
    return await EmbeddedLog.open(None, faults=faults, ack_wait=0.3)


async def post(log: EmbeddedLog, number: int, message_id: str | None = None) -> str:
    body = Message(message_id or new_message_id(), "general", "alice", f"message {number}", timestamp())
    event = MessageEvent(new_event_id(), "message.new", "general", Raw(encode(body)))
    await log.append(message("general"), encode(event), msg_id=event.event_id)
    return body.message_id


async def stored(messages: CountedMessages) -> list[str]:
    """The ids, oldest first, by the places that the log gave them."""
    page = await messages.history("general", limit=COUNT * 2)
    return [message.message_id for message in page.messages[::-1]]


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(None, id="none"),
        pytest.param(FaultInjection(redeliver=0.3, duplicate=0.3), id="twice"),
        pytest.param(FaultInjection(lose_ack=0.3, delay=0.5), id="acks lost, late"),
    ],
)
async def test_every_message_is_stored_once(messages: CountedMessages, faults: FaultInjection | None) -> None:
    log = await open_log(faults)
    failures: list[BaseException] = []
    async with running_writer(log, messages, failures.append):
        posted = [await post(log, number) for number in range(COUNT)]
        await until(lambda: set(posted) <= set(messages.written), "everything written")
        if faults:
            await until(lambda: len(messages.written) > COUNT, "something came again")
    assert await stored(messages) == posted
    assert not failures
    await log.close()


async def test_a_store_that_is_away_delays_and_loses_nothing(messages: CountedMessages) -> None:
    log = await open_log()
    messages.away = True
    async with running_writer(log, messages, lambda error: pytest.fail(str(error))):
        posted = [await post(log, number) for number in range(10)]
        await until(lambda: messages.refused >= 2, "tried more than once")
        assert await stored(messages) == []
        messages.away = False
        await until(lambda: set(posted) <= set(messages.written))
    assert await stored(messages) == posted
    await log.close()


async def test_each_message_is_stored_with_its_place_in_the_log(messages: CountedMessages) -> None:
    log = await open_log()
    by_time = [new_message_id() for _ in range(3)]
    for number, message_id in enumerate(by_time[::-1]):  # as from gateways whose clocks differ
        await post(log, number, message_id)
    async with running_writer(log, messages, lambda error: pytest.fail(str(error))):
        await until(lambda: len(messages.written) == 3)
    page = await messages.history("general")
    assert [(message.seq, message.message_id) for message in page.messages] == [
        (3, by_time[0]),
        (2, by_time[1]),
        (1, by_time[2]),
    ]
    await log.close()


async def test_a_log_that_was_restored_while_no_writer_ran_goes_on_above_what_was_stored(
    messages: CountedMessages, tmp_path: Path
) -> None:
    deployment, file = EmbeddedDeployment(), tmp_path / "log.db"
    lost: list[BaseException] = []

    async def written(numbers: range) -> list[str]:
        log = await EmbeddedLog.open(file, deployment=deployment)
        async with running_writer(log, messages, lost.append):
            # The gateway of a process opens after its writer has looked.
            await until(lambda: log._queues != {}, "a writer that reads")
            posted = [await post(log, number) for number in numbers]
            await until(lambda: set(posted) <= set(messages.written))
        await log.close()
        return posted

    survived = await written(range(5))
    backup = file.read_bytes()
    stored_and_lost = await written(range(5, 10))
    file.write_bytes(backup)
    new = await written(range(10, 14))
    assert await stored(messages) == [*survived, *stored_and_lost, *new]
    page = await messages.history("general")
    assert [message.seq for message in page.messages[::-1]] == sorted({message.seq for message in page.messages})
    assert not lost


async def test_what_was_not_acknowledged_comes_to_the_next_writer(messages: CountedMessages) -> None:
    log = await open_log()
    messages.away = True
    async with running_writer(log, messages, lambda error: pytest.fail(str(error))):
        posted = await post(log, 1)
        await until(lambda: messages.refused >= 1)
    messages.away = False
    async with running_writer(log, messages, lambda error: pytest.fail(str(error))):
        await until(lambda: messages.written == [posted])
    await log.close()


DEEP = b'{"event_id":"e","type":"message.new","channel_id":"general","message":' + b"[" * 5000 + b"]" * 5000 + b"}"


@pytest.mark.parametrize("payload", [b"not json", b"[]", DEEP], ids=["text", "list", "deep"])
def test_an_event_that_is_no_message_is_invalid(messages: CountedMessages, payload: bytes) -> None:
    with pytest.raises(InvalidEvent):
        MessageWriter(messages).decode(StoredEvent(1, message("general"), payload))
