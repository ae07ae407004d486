"""Every receipt of the log is in the store, once; what is no receipt is a dead letter."""

from collections.abc import AsyncIterator

import pytest

from fanout.events import ReceiptRead, encode
from fanout.ids import new_event_id, new_message_id
from fanout.ports.receipts import Receipt
from fanout.streams import DEAD
from fanout.subjects import receipt
from services.adapters.embedded.faults import FaultInjection
from services.adapters.embedded.log import EmbeddedLog
from services.receipt_writer.writer import running_receipt_writer
from tests.support.faulty import FaultyMessages, faulty_messages
from tests.support.observing import eventually, until
from tests.support.reading import PATIENCE_S

AT = "2026-02-01T10:00:00.000Z"
COUNT = 200


@pytest.fixture
async def store() -> AsyncIterator[FaultyMessages]:
    async with faulty_messages() as opened:
        yield opened


async def read(log: EmbeddedLog, message_id: str, *users: str) -> None:
    event = ReceiptRead(new_event_id(), "general", message_id, list(users), AT)
    await log.append(receipt("general"), encode(event), msg_id=event.event_id)


async def readers(store: FaultyMessages, message_id: str) -> list[str]:
    return [each.user_id for each in await store.receipts_of("general", message_id, COUNT)]


@pytest.mark.parametrize(
    "faults",
    [None, FaultInjection(redeliver=0.3, duplicate=0.3), FaultInjection(lose_ack=0.3, delay=0.5)],
    ids=["none", "twice", "acks lost, late"],
)
async def test_every_receipt_is_stored_once(store: FaultyMessages, faults: FaultInjection | None) -> None:
    log = await EmbeddedLog.open(None, faults=faults, ack_wait=0.3)
    message_id = new_message_id()
    async with running_receipt_writer(log, store, lambda error: pytest.fail(str(error))):
        users = [f"user-{number:03}" for number in range(COUNT)]
        for user in users:
            await read(log, message_id, user)

        async def all_stored() -> bool:
            return await readers(store, message_id) == users

        await eventually(all_stored, PATIENCE_S)
    await log.close()


async def test_an_event_may_name_several_readers(store: FaultyMessages) -> None:
    log, message_id = await EmbeddedLog.open(None), new_message_id()
    await read(log, message_id, "bob", "alice")
    async with running_receipt_writer(log, store, lambda error: pytest.fail(str(error))):
        await until(lambda: store.calls["write_receipts"] == 1)
        assert await store.receipts_of("general", message_id, COUNT) == [Receipt("alice", AT), Receipt("bob", AT)]
    await log.close()


async def test_a_store_that_is_away_delays_and_loses_nothing(store: FaultyMessages) -> None:
    log, message_id = await EmbeddedLog.open(None, ack_wait=0.3), new_message_id()
    store.down = True
    async with running_receipt_writer(log, store, lambda error: pytest.fail(str(error))):
        await read(log, message_id, "bob")
        await until(lambda: store.calls["write_receipts"] >= 2, "tried more than once")
        store.down = False

        async def is_stored() -> bool:
            return await readers(store, message_id) == ["bob"]

        await eventually(is_stored, PATIENCE_S)
    await log.close()


async def test_what_can_never_be_stored_is_a_dead_letter_and_the_next_is_stored(store: FaultyMessages) -> None:
    log, message_id = await EmbeddedLog.open(None), new_message_id()
    await log.append(receipt("general"), b'{"type":"receipt.read"}', msg_id="poisonous")
    await read(log, message_id, "bob")
    async with running_receipt_writer(log, store, lambda error: pytest.fail(str(error))):

        async def is_stored() -> bool:
            return await readers(store, message_id) == ["bob"]

        await eventually(is_stored, PATIENCE_S)
        await until(lambda: log._streams[DEAD].last_seq == 1)
    await log.close()
