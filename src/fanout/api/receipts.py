"""Read receipts of messages."""

from typing import Annotated, Final, Literal, Protocol

import msgspec
from msgspec import Meta

from fanout.api.calls import Call
from fanout.api.common import Id, MessageId, Request
from fanout.error_codes import MESSAGE_NOT_FOUND, NOT_A_MEMBER
from fanout.events import Timestamp
from fanout.ids import check_id, check_message_id
from fanout.ports.receipts import MAX_MEMBERS

MAX_RECEIPTS: Final = 1_000
"""Receipts of one answer. More can be there only where the members of a small channel have changed often."""

ReceiptMode = Literal["rows", "pointer"]


class ReceiptsRequest(Request, frozen=True):
    """`messages.receipts`."""

    channel: Annotated[Id, Meta(description="The channel; the caller is a member.")]
    message_id: Annotated[MessageId, Meta(description="A message of the channel.")]

    def __post_init__(self) -> None:
        """Check what a pattern cannot: in Python, `$` also matches before a trailing newline."""
        check_id(self.channel, "channel")
        check_message_id(self.message_id)


class UserReceipt(msgspec.Struct, frozen=True):
    """A user has read the message."""

    user_id: Id
    read_at: Annotated[Timestamp, Meta(description="When the user read it first.")]


class MessageReceipts(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who has read a message."""

    receipts: Annotated[
        list[UserReceipt], Meta(description="By `user_id`. The sender has none, and neither has who has not read it.")
    ]
    mode: Annotated[
        ReceiptMode,
        Meta(
            description=f"`rows` where the message has receipts, or the channel has at most {MAX_MEMBERS} members. "
            "`pointer` otherwise: reading it moves the read pointers of the members alone, and there are no receipts."
        ),
    ]
    more: Annotated[bool, Meta(description=f"Whether there are more than these {MAX_RECEIPTS}; left out if not.")] = (
        False
    )


class ReceiptCalls(Protocol):
    """Handles the calls of this module. Each may raise `fanout.Unavailable`."""

    async def receipts(self, user_id: str, request: ReceiptsRequest) -> MessageReceipts:
        """The receipts of a message.

        Raises:
            CallRejected: the user is not a member of the channel, or the channel has no such message.
        """
        ...


CALLS: Final = (
    Call[ReceiptCalls, ReceiptsRequest](
        name="messages.receipts",
        method="GET",
        request=ReceiptsRequest,
        response=MessageReceipts,
        errors=(NOT_A_MEMBER, MESSAGE_NOT_FOUND),
        summary="Read who has read a message",
        meaning="The receipts of the message.",
        description=f"""\
Clients say by the frame `message.read` what their user has read. In a channel of at most {MAX_MEMBERS} members each
such frame is a receipt. Receipts stay readable when the channel grows. A receipt is stored a moment after it was
accepted.""",
        handler=lambda port, caller, request: port.receipts(caller.user_id, request),
    ),
)
