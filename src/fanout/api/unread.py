"""Unread counts of a user, and the list of the user's channels."""

from typing import Annotated, Final, Protocol

import msgspec
from msgspec import Meta

from fanout.api.calls import Call
from fanout.api.common import Id, MessageId, NoFields, Request
from fanout.error_codes import BAD_CURSOR

MAX_PAGE: Final = 200


class Counts(msgspec.Struct, frozen=True):
    """Unread messages and mentions."""

    channels: Annotated[
        dict[str, int],
        Meta(description="The unread messages of others, by channel; those without any are left out."),
    ]
    total: Annotated[int, Meta(description="The sum over the channels.")]
    mentions: Annotated[
        int,
        Meta(description="The unread messages that mention the caller, replies in threads included."),
    ]


class ListRequest(Request, frozen=True):
    """`channels.list`."""

    cursor: Annotated[str, Meta(description="The `cursor` of the page before, for the page after it.")] | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE, description="The most channels that the page may have.")] = 50


class ListedChannel(msgspec.Struct, frozen=True):
    """One of the caller's channels."""

    channel_id: Id
    name: str
    unread: Annotated[int, Meta(description="The unread messages of others.")]
    last_read_id: Annotated[
        MessageId | None,
        Meta(description="The message up to which the caller has read, or that was the newest at the join."),
    ]
    latest_message_id: Annotated[
        MessageId | None, Meta(description="The newest message that is counted; null in an empty channel.")
    ]


class ChannelList(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of the caller's channels."""

    channels: Annotated[list[ListedChannel], Meta(description="By `channel_id`.")]
    cursor: Annotated[str, Meta(description="Leads on to the next page; left out on the last.")] | None = None


class UnreadCalls(Protocol):
    """Handles the calls of this module. Each may raise `fanout.Unavailable`."""

    async def counts(self, user_id: str) -> Counts:
        """The unread messages and mentions of the user."""
        ...

    async def recalculate(self, user_id: str) -> Counts:
        """Count again from the messages, and return the result."""
        ...

    async def list_channels(self, user_id: str, request: ListRequest) -> ChannelList:
        """A page of the user's channels.

        Raises:
            CallRejected: the cursor was not given for this user.
        """
        ...


CALLS: Final = (
    Call[UnreadCalls, NoFields](
        name="unread.counts",
        method="GET",
        request=NoFields,
        response=Counts,
        summary="Count what is unread",
        meaning="The unread messages and mentions of the caller.",
        description="One's own messages never count, and neither do replies that are in their threads alone. A message "
        "is counted a moment after it was accepted.",
        handler=lambda port, caller, _request: port.counts(caller.user_id),
    ),
    Call[UnreadCalls, NoFields](
        name="unread.recalculate",
        method="POST",
        request=NoFields,
        response=Counts,
        summary="Count what is unread again, from the messages",
        meaning="The counts, corrected.",
        description="It is needed only after a store has lost data. It reads every unread message of the caller.",
        handler=lambda port, caller, _request: port.recalculate(caller.user_id),
    ),
    Call[UnreadCalls, ListRequest](
        name="channels.list",
        method="GET",
        request=ListRequest,
        response=ChannelList,
        errors=(BAD_CURSOR,),
        summary="List the channels that the caller is a member of",
        meaning="A page of channels, by `channel_id`.",
        handler=lambda port, caller, request: port.list_channels(caller.user_id, request),
    ),
)
