"""Writes every read receipt of the log to the receipt store. A receipt that is delivered twice is stored once."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from prometheus_client import Counter

from fanout.events import decode_receipt_event
from fanout.ports.log import Log, StoredEvent
from fanout.ports.receipts import MessageReceipt, Receipt, Receipts
from fanout.streams import RECEIPT_WRITER, RECEIPTS
from fanout.subjects import channel_of
from services.runtime.consumer import Consumption, running_consumer

RECEIPTS_WRITTEN: Final = Counter("fanout_receipts_written_total", "Receipts written to the store, repeats included")


class ReceiptWriter:
    """The handler of the durable consumer `receipt-writer`.

    Args:
        receipts: the store.
    """

    def __init__(self, receipts: Receipts) -> None:
        self._receipts = receipts

    def decode(self, event: StoredEvent) -> list[MessageReceipt]:
        """The receipts of an event, one for each reader.

        Raises:
            InvalidEvent: it is no receipt event.
        """
        read = decode_receipt_event(event.payload, channel_of(event.subject))
        return [
            MessageReceipt(read.channel_id, read.message_id, Receipt(user_id, read.read_at)) for user_id in read.read_by
        ]

    async def handle(self, decoded: Sequence[list[MessageReceipt]], _newest: StoredEvent) -> None:
        """Write receipts.

        Raises:
            Unavailable: the store cannot be reached.
        """
        receipts = [receipt for of_event in decoded for receipt in of_event]
        await self._receipts.write_receipts(receipts)
        RECEIPTS_WRITTEN.inc(len(receipts))


def running_receipt_writer(
    events: Log, receipts: Receipts, on_failure: Callable[[BaseException], None]
) -> AbstractAsyncContextManager[None]:
    """Run a writer for the length of the context.

    Args:
        events: the log.
        receipts: the store.
        on_failure: is called with an error that ends the writer.
    """
    writer = ReceiptWriter(receipts)
    return running_consumer(Consumption(RECEIPTS, RECEIPT_WRITER, writer.decode, writer.handle), events, on_failure)
