"""The REST calls as the services speak of them: requests, answers and refusals; contract section 2.

The gateway decodes requests and hands them on; command and query answer. They know each other through this
module alone, so that they are one deployable or several.
"""

from typing import Annotated, Any, Final, Protocol

import msgspec
from msgspec import Meta

from fanout.errors import FanoutError, Unavailable
from fanout.events import MAX_TEXT, Message, encode
from fanout.ids import MAX_ID_LENGTH, check_id, check_message_id

MAX_MENTIONS: Final = 100
MAX_ATTACHMENTS: Final = 20
MAX_ATTACHMENT_BYTES: Final = 32 * 1024
MAX_ATTACHMENT_DEPTH: Final = 16
MAX_USERS: Final = 500
MAX_NAME: Final = 200
MAX_PAGE: Final = 200

Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,128}$", description=f"1 to {MAX_ID_LENGTH} of A-Z a-z 0-9 _ -")]
ClientMessageId = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_.:~+/=-]{1,128}$",
        description="Chosen by the client. A repeat by the same user within the dedup window changes nothing and "
        "is answered as the first was, whatever else it carries.",
    ),
]
Users = Annotated[list[Id], Meta(max_length=MAX_USERS)]


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

    channel: Id
    text: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
    thread_id: Id | None = None
    also_send_to_channel: bool = False
    mentions: Annotated[list[Id], Meta(max_length=MAX_MENTIONS)] | None = None
    attachments: Annotated[list[Any], Meta(max_length=MAX_ATTACHMENTS)] | None = None
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
    channel_id: Id | None = None
    members: Users = []
    private: bool = False

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

    channel: Id
    user_ids: Annotated[list[Id], Meta(min_length=1, max_length=MAX_USERS)]

    def __post_init__(self) -> None:
        """Check the ids."""
        check_id(self.channel, "channel")
        for user in self.user_ids:
            check_id(user, "user_ids")


class HistoryRequest(msgspec.Struct, frozen=True):
    """`channels.history`: at most one of `before`, `after` and `cursor`."""

    channel: str
    before: str | None = None
    after: str | None = None
    cursor: str | None = None
    limit: int = 50

    def __post_init__(self) -> None:
        """Check the ids and bounds.

        Raises:
            InvalidId: an id is none.
            InvalidRequest: more than one starting point, or a limit out of bounds.
        """
        check_id(self.channel, "channel")
        starts = {"before": self.before, "after": self.after}
        for name, message_id in starts.items():
            if message_id is not None:
                check_message_id(message_id, name)
        if sum(start is not None for start in (*starts.values(), self.cursor)) > 1:
            raise InvalidRequest("invalid_request", "give one of before, after and cursor")
        if not 1 <= self.limit <= MAX_PAGE:
            raise InvalidRequest("invalid_request", f"limit must be 1 to {MAX_PAGE}")


class SentMessage(msgspec.Struct, frozen=True):
    """The log holds the message."""

    message_id: str
    correlation_id: str


class ChannelAnswer(msgspec.Struct, frozen=True):
    """The channel that the call was about."""

    channel_id: str


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of a channel, newest first; `cursor` leads on where there is more."""

    messages: list[Message]
    cursor: str | None = None


class RealtimeAddress(msgspec.Struct, frozen=True):
    """The WebSocket address to connect to."""

    url: str


class Commands(Protocol):
    """The calls that change something. Each may raise `fanout.Unavailable`, and can then be made again."""

    async def send_message(self, user_id: str, request: SendMessage, correlation_id: str) -> SentMessage:
        """Store a message in the log.

        Raises:
            InvalidRequest: it asks for something that there is not.
            Forbidden: the user is not a member of the channel.
        """
        ...

    async def create_channel(self, user_id: str, request: CreateChannel) -> ChannelAnswer:
        """Create a channel; the user is its first member.

        Raises:
            ChannelExists: there is one of that id.
        """
        ...

    async def join(self, user_id: str, request: ChannelRequest) -> ChannelAnswer:
        """Make the user a member.

        Raises:
            ChannelNotFound: there is no such channel.
            Forbidden: it is private.
        """
        ...

    async def leave(self, user_id: str, request: ChannelRequest) -> ChannelAnswer:
        """End the user's membership, where there is one.

        Raises:
            ChannelNotFound: there is no such channel.
        """
        ...

    async def invite(self, user_id: str, request: InviteRequest) -> ChannelAnswer:
        """Make others members.

        Raises:
            ChannelNotFound: there is no such channel.
            Forbidden: the user is not a member of it.
        """
        ...


class Queries(Protocol):
    """The calls that only read. Each may raise `fanout.Unavailable`."""

    async def history(self, user_id: str, request: HistoryRequest) -> History:
        """A page of a channel.

        Raises:
            InvalidRequest: the cursor is none of ours.
            Forbidden: the user is not a member of the channel.
        """
        ...

    async def connect(self) -> RealtimeAddress:
        """The WebSocket address of the instance with most room.

        Raises:
            NoInstance: none is up, or none has room.
        """
        ...


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
