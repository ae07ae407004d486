"""Reading the messages of a channel."""

from typing import Annotated, Final, Protocol

import msgspec
from msgspec import Meta

from fanout.api.calls import Call
from fanout.api.common import Id, Request, written
from fanout.error_codes import BAD_CURSOR, INVALID_REQUEST, NOT_A_MEMBER, UNKNOWN_MESSAGE
from fanout.errors import CallRejected
from fanout.events import StoredMessage
from fanout.ids import check_id, check_message_id

MAX_PAGE: Final = 200
MAX_PAGE_BYTES: Final = 1 << 20
"""Bytes that the messages of a page have at most, as JSON; one message is in a page whatever its size."""
MAX_SEQ: Final = (1 << 53) - 1
"""The highest `seq`: every reader of JSON takes it as a whole number."""

Bound = Annotated[str, written(r"^(msg_[0-7][0-9A-HJKMNP-TV-Z]{25}|[0-9]{1,16})$", "msg_ followed by a ULID, or a seq")]
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
            CallRejected: a `seq` is too high, or there is more than one starting point.
        """
        check_id(self.channel, "channel")
        starts = {"before": self.before, "after": self.after}
        for name, bound in starts.items():
            if bound is not None:
                _check_bound(bound, name)
        if sum(start is not None for start in (*starts.values(), self.cursor)) > 1:
            raise CallRejected(INVALID_REQUEST, "give one of before, after and cursor")


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of a channel."""

    messages: Annotated[
        list[StoredMessage], Meta(description="In the order of `seq`, newest first, in either direction.")
    ]
    upto_seq: Annotated[
        int,
        Meta(
            description="The page misses no message that it asks for and that the log held up to here. It may have "
            "newer ones. Ask again with `after` this to miss none. If a page of `after` has messages above its "
            "`upto_seq`, its cursor leads to pages with the same `upto_seq`: a message between those that were shown "
            "may be stored later."
        ),
    ]
    newest_seq: (
        Annotated[
            int,
            Meta(
                description="The newest `seq` of any channel that the log held after the page was asked for. Messages "
                "above it come over the WebSocket if a session was open when the client asked. So the client has "
                "everything once an `upto_seq` has reached it. It is left out if the log did not answer: ask again."
            ),
        ]
        | None
    ) = None
    cursor: Annotated[str, Meta(description="Leads on to the next page; left out on the last.")] | None = None


class HistoryCalls(Protocol):
    """Handles the calls of this module. Each may raise `fanout.Unavailable`."""

    async def history(self, user_id: str, request: HistoryRequest) -> History:
        """A page of a channel.

        Raises:
            CallRejected: the user is not a member of the channel, the cursor was not given for this user and channel,
                or `before` or `after` names no message of the channel.
        """
        ...


def _check_bound(bound: str, name: str) -> None:
    if not bound.isdecimal():
        check_message_id(bound, name)
    elif int(bound) > MAX_SEQ:
        raise CallRejected(INVALID_REQUEST, f"{name} must be a seq of at most {MAX_SEQ}")


CALLS: Final = (
    Call[HistoryCalls, HistoryRequest](
        name="channels.history",
        method="GET",
        request=HistoryRequest,
        response=History,
        errors=(BAD_CURSOR, UNKNOWN_MESSAGE, NOT_A_MEMBER),
        summary="Read a channel",
        meaning="A page of messages.",
        description="""\
Messages in the order of the log, newest first.

Without `before`, `after` and `cursor`, the newest messages; the cursor walks on to older ones. A page ends before
`limit` where its messages exceed 1 MiB. A message that was accepted a moment ago may not be stored yet: `upto_seq`
says up to where the page misses nothing.""",
        handler=lambda port, caller, request: port.history(caller.user_id, request),
    ),
)
