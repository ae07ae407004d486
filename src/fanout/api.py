"""The REST calls as the services speak of them: requests, answers and refusals; contract section 2.

The gateway decodes requests and hands them on; command and query answer. They know each other through this
module alone, so that they are one deployable or several.
"""

from typing import Annotated, Any, Final, Protocol

import msgspec
from msgspec import Meta

from fanout.errors import FanoutError, Unavailable
from fanout.events import MAX_TEXT, StoredMessage, encode
from fanout.ids import MAX_ID_LENGTH, check_id, check_message_id

MAX_MENTIONS: Final = 100
MAX_ATTACHMENTS: Final = 20
MAX_ATTACHMENT_BYTES: Final = 32 * 1024
MAX_ATTACHMENT_DEPTH: Final = 16
MAX_USERS: Final = 500
MAX_NAME: Final = 200
MAX_PAGE: Final = 200
MAX_PAGE_BYTES: Final = 1 << 20
"""Bytes that the messages of a page have at most, as JSON; one message is in a page whatever its size."""
MAX_SEQ: Final = (1 << 53) - 1
"""Of a `seq`: what every reader of JSON takes as a whole number."""

DEDUP_WINDOW_S: Final = 120
"""How long the log remembers a `client_msg_id`."""


def _written(pattern: str, form: str) -> Meta:
    """A text of this pattern; `form` says it for people, after "must be"."""
    return Meta(pattern=pattern, description=form[0].upper() + form[1:], extra={"form": form})


Id = Annotated[
    str, _written(r"^[A-Za-z0-9_-]{1,128}$", f"1 to {MAX_ID_LENGTH} characters of A-Z, a-z, 0-9, '_' or '-'")
]
MessageId = Annotated[str, _written(r"^msg_[0-7][0-9A-HJKMNP-TV-Z]{25}$", "msg_ followed by a ULID")]
ClientMessageId = Annotated[
    str,
    _written(r"^[A-Za-z0-9_.:~+/=-]{1,128}$", "1 to 128 characters of A-Z, a-z, 0-9 and _ . : ~ + / = -"),
    Meta(
        description="Chosen by the client. A repeat by the same user within the dedup window of "
        f"{DEDUP_WINDOW_S // 60} minutes changes nothing and is answered as the first was, whatever else it carries."
    ),
]
Users = Annotated[list[Id], Meta(max_length=MAX_USERS)]
Mentions = Annotated[list[Id], Meta(max_length=MAX_MENTIONS, description="The users that the message is about.")]
Attachments = Annotated[
    list[Any],
    Meta(
        max_length=MAX_ATTACHMENTS,
        description=f"Any JSON, handed on as it is: up to {MAX_ATTACHMENT_BYTES:,} bytes, nested up to "
        f"{MAX_ATTACHMENT_DEPTH} deep.",
    ),
]
Bound = Annotated[
    str, _written(r"^(msg_[0-7][0-9A-HJKMNP-TV-Z]{25}|[0-9]{1,16})$", "msg_ followed by a ULID, or a seq")
]
Before = Annotated[
    Bound,
    Meta(
        description="A message id or a `seq`. The page has the newest of the messages before it, and its cursor walks "
        "on to older ones. Not with `after` or `cursor`."
    ),
]
After = Annotated[
    Bound,
    Meta(
        description="A message id or a `seq`. The page has the oldest of the messages after it, newest first like "
        "every page, and its cursor walks on to newer ones. Not with `before` or `cursor`."
    ),
]
Cursor = Annotated[
    str,
    Meta(
        description="The `cursor` of the page before, for the page that follows it in the same channel and direction. "
        "Not with `before` or `after`."
    ),
]


class Refused(FanoutError):  # noqa: N818 - as the tree in `fanout.errors`
    """A call that the caller may not make as it stands.

    Attributes:
        code: stable, for programs.
        detail: for people.
    """

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(detail)


class InvalidRequest(Refused):
    """The request can never succeed."""


class Forbidden(Refused):
    """The caller may not do this."""


class NoInstance(Unavailable):
    """No notification instance takes connections now. Unlike its parent's, its text is for the caller."""


def not_a_member() -> Forbidden:
    """The refusal of whoever is not in the channel, whether or not it exists: that is not theirs to know."""
    return Forbidden("not_a_member", "you are not a member of this channel")


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the bodies share: a field that is not known is refused, so that a misspelt one is noticed."""


class SendMessage(Request, frozen=True):
    """`chat.sendMessage`."""

    channel: Annotated[Id, Meta(description="The channel to send to; the caller is a member.")]
    text: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
    thread_id: Annotated[Id, Meta(description="Not in this version: `threads_unavailable`.")] | None = None
    also_send_to_channel: Annotated[bool, Meta(description="Not in this version: `threads_unavailable`.")] = False
    mentions: Mentions | None = None
    attachments: Attachments | None = None
    client_msg_id: ClientMessageId | None = None

    def __post_init__(self) -> None:
        """Check what a pattern cannot: in Python, `$` lets a trailing newline by."""
        check_id(self.channel, "channel")
        for user in self.mentions or ():
            check_id(user, "mentions")
        if self.client_msg_id is not None and self.client_msg_id.endswith("\n"):
            raise ValueError("client_msg_id must not end in a newline")
        _check_attachments(self.attachments)


class CreateChannel(Request, frozen=True):
    """`channels.create`. Without `channel_id` the platform makes one."""

    name: Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
    channel_id: Annotated[Id, Meta(description="Made by the platform where it is not given.")] | None = None
    members: Annotated[Users, Meta(description="The first members beside the caller.")] = []
    private: Annotated[bool, Meta(description="Whether it is entered by a member's invitation only.")] = False

    def __post_init__(self) -> None:
        """Check the ids."""
        if self.channel_id is not None:
            check_id(self.channel_id, "channel_id")
        for user in self.members:
            check_id(user, "members")


class ChannelRequest(Request, frozen=True):
    """`channels.join` and `channels.leave`."""

    channel: Id

    def __post_init__(self) -> None:
        """Check the id."""
        check_id(self.channel, "channel")


class InviteRequest(Request, frozen=True):
    """`channels.invite`."""

    channel: Annotated[Id, Meta(description="The channel; the caller is a member.")]
    user_ids: Annotated[Users, Meta(min_length=1, description="The users who become members.")]

    def __post_init__(self) -> None:
        """Check the ids."""
        check_id(self.channel, "channel")
        for user in self.user_ids:
            check_id(user, "user_ids")


class HistoryRequest(Request, frozen=True):
    """`channels.history`: at most one of `before`, `after` and `cursor`; without any, the newest messages."""

    channel: Annotated[Id, Meta(description="The channel to read; the caller is a member.")]
    before: Before | None = None
    after: After | None = None
    cursor: Cursor | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE, description="The most messages that the page may have.")] = 50

    def __post_init__(self) -> None:
        """Check the ids, and that they do not contradict each other.

        Raises:
            InvalidId: an id is none.
            InvalidRequest: a `seq` is too high, or there is more than one starting point.
        """
        check_id(self.channel, "channel")
        starts = {"before": self.before, "after": self.after}
        for name, bound in starts.items():
            if bound is not None:
                _check_bound(bound, name)
        if sum(start is not None for start in (*starts.values(), self.cursor)) > 1:
            raise InvalidRequest("invalid_request", "give one of before, after and cursor")


class SentMessage(msgspec.Struct, frozen=True):
    """The log holds the message."""

    message_id: MessageId
    correlation_id: Annotated[str, Meta(description="The request's, for support.")]


class ChannelAnswer(msgspec.Struct, frozen=True):
    """The channel that the call was about."""

    channel_id: Id


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of a channel."""

    messages: Annotated[
        list[StoredMessage], Meta(description="In the order of `seq`, newest first, in either direction.")
    ]
    upto_seq: Annotated[
        int,
        Meta(
            description="The page misses no message that it asks for and that the log held up to here. It may have "
            "newer ones. Ask again with `after` this to miss none."
        ),
    ]
    cursor: Annotated[str, Meta(description="Leads on to the next page; left out on the last.")] | None = None


class RealtimeAddress(msgspec.Struct, frozen=True):
    """Where to connect to."""

    url: Annotated[str, Meta(description="The WebSocket address.", extra_json_schema={"format": "uri"})]


class Commands(Protocol):
    """The calls that change something. Each may raise `fanout.Unavailable`, and can then be made again."""

    async def send_message(self, user_id: str, request: SendMessage, correlation_id: str) -> SentMessage:
        """Store a message in the log.

        Raises:
            InvalidRequest: it asks for something that there is not.
            Forbidden: the user is not a member of the channel.
            TooLarge: it is longer than the log or the bus takes.
        """
        ...

    async def create_channel(self, user_id: str, request: CreateChannel) -> ChannelAnswer:
        """Create a channel; the user is its first member.

        Raises:
            ChannelExists: there is one of that id, and this is no repeat by its creator of a call that is unfinished.
        """
        ...

    async def join(self, user_id: str, request: ChannelRequest) -> ChannelAnswer:
        """Make the user a member.

        Raises:
            ChannelNotFound: there is no such channel, or it is private and the user is not in it.
        """
        ...

    async def leave(self, user_id: str, request: ChannelRequest) -> ChannelAnswer:
        """End the user's membership, where there is one.

        Raises:
            ChannelNotFound: there is no such channel, or it is private and the user never was in it, or left long ago.
        """
        ...

    async def invite(self, user_id: str, request: InviteRequest) -> ChannelAnswer:
        """Make others members.

        Raises:
            Forbidden: the user is not a member of it, or there is none.
        """
        ...


class Queries(Protocol):
    """The calls that only read. Each may raise `fanout.Unavailable`."""

    async def history(self, user_id: str, request: HistoryRequest) -> History:
        """A page of a channel.

        Raises:
            InvalidRequest: the cursor was not given for this user and channel, or `before` or `after` names no message
                of the channel.
            Forbidden: the user is not a member of the channel.
        """
        ...

    async def connect(self) -> RealtimeAddress:
        """The WebSocket address of the instance with most room.

        Raises:
            NoInstance: none is up, or none has room.
        """
        ...


def _check_bound(bound: str, name: str) -> None:
    if not bound.isdecimal():
        check_message_id(bound, name)
    elif int(bound) > MAX_SEQ:
        raise InvalidRequest("invalid_request", f"{name} must be a seq of at most {MAX_SEQ}")


def _check_attachments(attachments: list[Any] | None) -> None:
    # What is stored is read by parsers with limits of their own, so what none of them takes is refused here.
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
