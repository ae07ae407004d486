"""The receipt store: who has read which message. Contract section 6."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

MAX_MEMBERS: Final = 50
"""Members up to which a channel has read receipts. In a larger one, reading a message moves the read pointer alone."""


class Receipt(NamedTuple):
    """A user has read a message."""

    user_id: str
    read_at: str
    """RFC 3339, UTC, milliseconds."""


class StoredReceipt(NamedTuple):
    """A receipt as the log has it."""

    channel_id: str
    message_id: str
    receipt: Receipt
    seq: int
    """The position of its event in the log."""


class Receipts(Protocol):
    """The receipt store. There is one receipt for each message and reader: the first in the order of the log."""

    async def write_receipts(self, receipts: Sequence[StoredReceipt]) -> None:
        """Store receipts durably. Of one message and reader, the receipt with the lowest `seq` stays.

        Raises:
            Unavailable: the store cannot be reached. Some of the receipts may be stored; write all of them again.
        """
        ...

    async def receipts_of(self, channel_id: str, message_id: str, limit: int) -> list[Receipt]:
        """Return up to `limit` receipts of a message of a channel, sorted by the user's id.

        Raises:
            Unavailable: the store cannot be reached.
        """
        ...

    async def ping(self) -> None:
        """Return when the store answers.

        Raises:
            Unavailable: it does not.
        """
        ...
