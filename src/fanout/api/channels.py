"""Channels and who is in them."""

from http import HTTPStatus
from typing import Annotated, Final, NamedTuple, Protocol

import msgspec
from msgspec import Meta

from fanout.api.calls import Call, Caller, WithStatus
from fanout.api.common import Id, Request, Users
from fanout.error_codes import CHANNEL_EXISTS, CHANNEL_NOT_FOUND, DM_MEMBERS_FIXED, NOT_A_MEMBER, NOT_THE_CREATOR
from fanout.errors import InvalidId
from fanout.ids import check_id, is_dm_channel_id
from fanout.ports.memberships import CHANNEL, DM, ChannelKind

MAX_NAME: Final = 200
_RESERVED: Final = frozenset({"_total", "_mentions"})
"""Names of fields beside those of channels."""


class CreateChannel(Request, frozen=True):
    """`channels.create`. Without `channel_id` the platform makes one."""

    name: (
        Annotated[str, Meta(min_length=1, max_length=MAX_NAME, description="A direct message may have none.")] | None
    ) = None
    channel_id: Annotated[Id, Meta(description="Made by the platform where it is not given.")] | None = None
    members: Annotated[Users, Meta(description="The first members beside the caller.")] = msgspec.field(
        default_factory=list
    )
    private: Annotated[bool, Meta(description="Whether it is entered by a member's invitation only.")] = False
    kind: Annotated[
        ChannelKind,
        Meta(
            description="`dm` for the direct message of the caller and the one other user in `members`.",
            extra={"form": "'channel' or 'dm'"},
        ),
    ] = CHANNEL

    def __post_init__(self) -> None:
        """Check the ids, and that only a direct message lacks a name or has such an id."""
        if self.channel_id is not None:
            check_id(self.channel_id, "channel_id")
            if self.channel_id in _RESERVED:
                raise InvalidId(f"channel_id must not be {self.channel_id}, which is reserved")
        for user in self.members:
            check_id(user, "members")
        if self.kind == CHANNEL and self.name is None:
            raise ValueError("name is missing")
        if self.kind == CHANNEL and self.channel_id is not None and is_dm_channel_id(self.channel_id):
            raise ValueError("channel_id has the form of a direct message's, which the platform makes")


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


class RemoveRequest(Request, frozen=True):
    """`channels.remove`."""

    channel: Annotated[Id, Meta(description="The channel; the caller has created it and is a member.")]
    user_ids: Annotated[Users, Meta(min_length=1, description="The users who are to be no members; not the caller.")]

    def __post_init__(self) -> None:
        """Check the ids."""
        check_id(self.channel, "channel")
        for user in self.user_ids:
            check_id(user, "user_ids")


class ChannelResponse(msgspec.Struct, frozen=True):
    """The channel that the call was about."""

    channel_id: Id


class OpenedDm(NamedTuple):
    """The answer to `channels.create` of a direct message."""

    response: ChannelResponse
    is_new: bool
    """Whether this call has created it."""


class ChannelCalls(Protocol):
    """Handles the calls of this module. Each may raise `fanout.Unavailable`, and can then be repeated."""

    async def create_channel(self, user_id: str, request: CreateChannel) -> ChannelResponse:
        """Create a channel; the user is its first member.

        Raises:
            ChannelExists: there is one of that id, and this is no repeat by its creator of a call that is unfinished.
        """
        ...

    async def open_dm(self, user_id: str, request: CreateChannel) -> OpenedDm:
        """Create the direct message of the user and another one, or find it: two users have one at most.

        Raises:
            CallRejected: the members are not exactly these two, or `channel_id` is not that of their direct message.
        """
        ...

    async def join(self, user_id: str, request: ChannelRequest) -> ChannelResponse:
        """Make the user a member.

        Raises:
            ChannelNotFound: there is no such channel, or it is private and the user is not in it.
        """
        ...

    async def leave(self, user_id: str, request: ChannelRequest) -> ChannelResponse:
        """End the user's membership, if there is one.

        Raises:
            ChannelNotFound: there is no such channel, or it is private and the user never was in it, or left long ago.
            CallRejected: it is a direct message.
        """
        ...

    async def invite(self, user_id: str, request: InviteRequest) -> ChannelResponse:
        """Make others members.

        Raises:
            CallRejected: the user is not a member of it, there is none, or it is a direct message.
        """
        ...

    async def remove(self, user_id: str, request: RemoveRequest) -> ChannelResponse:
        """End the memberships of others. Users who are no members are passed over.

        Raises:
            CallRejected: the user is not a member of it or has not created it, there is none, it is a direct message,
                or the user is among those who are to be removed.
        """
        ...


async def _create(port: ChannelCalls, caller: Caller, request: CreateChannel) -> ChannelResponse | WithStatus:
    if request.kind != DM:
        return await port.create_channel(caller.user_id, request)
    opened = await port.open_dm(caller.user_id, request)
    return opened.response if opened.is_new else WithStatus(opened.response, HTTPStatus.OK)


CALLS: Final = (
    Call[ChannelCalls, CreateChannel](
        name="channels.create",
        method="POST",
        request=CreateChannel,
        response=ChannelResponse,
        status=201,
        errors=(CHANNEL_EXISTS,),
        summary="Create a channel",
        meaning="The channel is there.",
        description="The caller is its first member. A direct message (`kind` is `dm`) is a private channel of exactly "
        "two members, who never change. Two users have one at most, whose id the platform makes.",
        other_statuses={200: "The two users have had this direct message before."},
        handler=_create,
    ),
    Call[ChannelCalls, ChannelRequest](
        name="channels.join",
        method="POST",
        request=ChannelRequest,
        response=ChannelResponse,
        errors=(CHANNEL_NOT_FOUND,),
        summary="Join a channel",
        meaning="The caller is a member.",
        description="A private channel is entered by a member's invitation only: to others it is as if it did not "
        "exist.",
        handler=lambda port, caller, request: port.join(caller.user_id, request),
    ),
    Call[ChannelCalls, ChannelRequest](
        name="channels.leave",
        method="POST",
        request=ChannelRequest,
        response=ChannelResponse,
        errors=(DM_MEMBERS_FIXED, CHANNEL_NOT_FOUND),
        summary="Leave a channel",
        meaning="The caller is no member.",
        description="Leaving a channel that one is not in changes nothing; a private one is as if it did not exist.",
        handler=lambda port, caller, request: port.leave(caller.user_id, request),
    ),
    Call[ChannelCalls, InviteRequest](
        name="channels.invite",
        method="POST",
        request=InviteRequest,
        response=ChannelResponse,
        errors=(DM_MEMBERS_FIXED, NOT_A_MEMBER),
        summary="Make others members",
        meaning="They are members.",
        description="The caller is a member; who is one already stays one.",
        handler=lambda port, caller, request: port.invite(caller.user_id, request),
    ),
    Call[ChannelCalls, RemoveRequest](
        name="channels.remove",
        method="POST",
        request=RemoveRequest,
        response=ChannelResponse,
        errors=(DM_MEMBERS_FIXED, NOT_A_MEMBER, NOT_THE_CREATOR),
        summary="Remove others from a channel",
        meaning="They are no members.",
        description="The caller has created the channel and is a member of it. A user who is not in it is passed over. "
        "Within a second, those who were removed can neither read nor post.",
        handler=lambda port, caller, request: port.remove(caller.user_id, request),
    ),
)
