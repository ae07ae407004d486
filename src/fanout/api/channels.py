"""Channels and who is in them."""

from typing import Annotated, Final, Protocol

import msgspec
from msgspec import Meta

from fanout.api.calls import Call
from fanout.api.common import Id, Request, Users
from fanout.error_codes import CHANNEL_EXISTS, CHANNEL_NOT_FOUND, NOT_A_MEMBER
from fanout.errors import InvalidId
from fanout.ids import check_id

MAX_NAME: Final = 200
_RESERVED: Final = frozenset({"_total", "_mentions"})
"""Names of fields beside those of channels."""


class CreateChannel(Request, frozen=True):
    """`channels.create`. Without `channel_id` the platform makes one."""

    name: Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
    channel_id: Annotated[Id, Meta(description="Made by the platform where it is not given.")] | None = None
    members: Annotated[Users, Meta(description="The first members beside the caller.")] = msgspec.field(
        default_factory=list
    )
    private: Annotated[bool, Meta(description="Whether it is entered by a member's invitation only.")] = False

    def __post_init__(self) -> None:
        """Check the ids."""
        if self.channel_id is not None:
            check_id(self.channel_id, "channel_id")
            if self.channel_id in _RESERVED:
                raise InvalidId(f"channel_id must not be {self.channel_id}, which is reserved")
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


class ChannelResponse(msgspec.Struct, frozen=True):
    """The channel that the call was about."""

    channel_id: Id


class ChannelCalls(Protocol):
    """Handles the calls of this module. Each may raise `fanout.Unavailable`, and can then be repeated."""

    async def create_channel(self, user_id: str, request: CreateChannel) -> ChannelResponse:
        """Create a channel; the user is its first member.

        Raises:
            ChannelExists: there is one of that id, and this is no repeat by its creator of a call that is unfinished.
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
        """
        ...

    async def invite(self, user_id: str, request: InviteRequest) -> ChannelResponse:
        """Make others members.

        Raises:
            CallRejected: the user is not a member of it, or there is none.
        """
        ...


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
        description="The caller is its first member.",
        handler=lambda port, caller, request: port.create_channel(caller.user_id, request),
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
        errors=(CHANNEL_NOT_FOUND,),
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
        errors=(NOT_A_MEMBER,),
        summary="Make others members",
        meaning="They are members.",
        description="The caller is a member; who is one already stays one.",
        handler=lambda port, caller, request: port.invite(caller.user_id, request),
    ),
)
