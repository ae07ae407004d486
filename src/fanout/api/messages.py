"""Sending messages."""

from typing import Annotated, Any, Final, Protocol

import msgspec
from msgspec import Meta

from fanout.api.calls import Call
from fanout.api.common import Id, MessageId, Request, written
from fanout.error_codes import MESSAGE_TOO_LARGE, NOT_A_MEMBER, UNKNOWN_THREAD
from fanout.events import MAX_TEXT, encode
from fanout.ids import check_id

MAX_MENTIONS: Final = 100
MAX_ATTACHMENTS: Final = 20
MAX_ATTACHMENT_BYTES: Final = 32 * 1024
MAX_ATTACHMENT_DEPTH: Final = 16

DEDUP_WINDOW_S: Final = 120
"""How long the log remembers a `client_msg_id`, in seconds."""

ClientMessageId = Annotated[
    str,
    written(r"^[A-Za-z0-9_.:~+/=-]{1,128}$", "1 to 128 characters of A-Z, a-z, 0-9 and _ . : ~ + / = -"),
    Meta(
        description="Chosen by the client. A repeat by the same user within the dedup window of "
        f"{DEDUP_WINDOW_S // 60} minutes changes nothing and is answered as the first was, whatever else it carries."
    ),
]
Mentions = Annotated[list[Id], Meta(max_length=MAX_MENTIONS, description="The users that the message is about.")]
Attachments = Annotated[
    list[Any],
    Meta(
        max_length=MAX_ATTACHMENTS,
        description=f"Any JSON, handed on as it is: up to {MAX_ATTACHMENT_BYTES:,} bytes, nested up to "
        f"{MAX_ATTACHMENT_DEPTH} deep.",
    ),
]


class SendMessage(Request, frozen=True):
    """`chat.sendMessage`."""

    channel: Annotated[Id, Meta(description="The channel to send to; the caller is a member.")]
    text: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
    thread_id: (
        Annotated[
            Id,
            Meta(
                description="Makes the message a reply: the `message_id` of the first message of a thread of the same "
                "channel. That message is no reply itself."
            ),
        ]
        | None
    ) = None
    also_send_to_channel: Annotated[
        bool, Meta(description="Of a reply: send it to the channel too. Otherwise it is in its thread alone.")
    ] = False
    mentions: Mentions | None = None
    attachments: Attachments | None = None
    client_msg_id: ClientMessageId | None = None

    def __post_init__(self) -> None:
        """Check what a pattern cannot: in Python, `$` also matches before a trailing newline."""
        check_id(self.channel, "channel")
        if self.thread_id is not None:
            check_id(self.thread_id, "thread_id")
        for user in self.mentions or ():
            check_id(user, "mentions")
        if self.client_msg_id is not None and self.client_msg_id.endswith("\n"):
            raise ValueError("client_msg_id must not end in a newline")
        check_attachments(self.attachments)


class SentMessage(msgspec.Struct, frozen=True):
    """The log holds the message."""

    message_id: MessageId
    correlation_id: Annotated[str, Meta(description="The request's, for support.")]


class MessageCalls(Protocol):
    """Handles the calls of this module. Each may raise `fanout.Unavailable`, and can then be repeated."""

    async def send_message(self, user_id: str, request: SendMessage, correlation_id: str) -> SentMessage:
        """Store a message in the log.

        Raises:
            CallRejected: the user is not a member of the channel, or the channel has no such thread.
            TooLarge: the message is longer than the log or the bus takes.
        """
        ...


def check_attachments(attachments: list[Any] | None) -> None:
    """Check that attachments can be stored and read again.

    Those who read them parse them with limits of their own; what one of them refuses is refused here.

    Raises:
        ValueError: they are too long or nested too deeply, or hold a number that cannot be stored.
    """
    if not attachments:
        return
    if _deeper_than(attachments, MAX_ATTACHMENT_DEPTH):
        raise ValueError(f"attachments must not be nested deeper than {MAX_ATTACHMENT_DEPTH}")
    try:
        size = len(encode({"attachments": attachments}))
    except TypeError:
        raise ValueError("attachments must hold no number beyond 64 bits") from None
    if size > MAX_ATTACHMENT_BYTES:
        raise ValueError(f"attachments must not exceed {MAX_ATTACHMENT_BYTES} bytes")


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [inner for outer in level for inner in _children(outer)]
        if not level:
            return False
    return True


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


CALLS: Final = (
    Call[MessageCalls, SendMessage](
        name="chat.sendMessage",
        method="POST",
        request=SendMessage,
        response=SentMessage,
        status=202,
        errors=(NOT_A_MEMBER, UNKNOWN_THREAD, MESSAGE_TOO_LARGE),
        summary="Send a message",
        meaning="The log holds the message.",
        description="""\
Answered once the log holds the message; it is delivered after that.

A message with a `thread_id` is a reply. Members of the channel get it as `thread.reply`, and it is in `threads.replies`
but not in the history of the channel. With `also_send_to_channel` they get it as `message.new`, and it is in both.""",
        handler=lambda port, caller, request: port.send_message(caller.user_id, request, caller.correlation_id),
    ),
)
