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


class MessageReceipt(NamedTuple):
    """A receipt of a message."""

    channel_id: str
    message_id: str
    receipt: Receipt


class Receipts(Protocol):
    """The receipt store. There is one receipt for each message and reader: the one with the lowest `read_at`."""

    async def write_receipts(self, receipts: Sequence[MessageReceipt]) -> None:
        """Store receipts durably. Of one message and reader the one with the lowest `read_at` stays.

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
