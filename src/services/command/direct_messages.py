"""Direct messages: private channels of two members, who never change."""

from fanout.api.channels import CreateChannel
from fanout.error_codes import INVALID_REQUEST
from fanout.errors import CallRejected
from fanout.ids import dm_channel_id
from fanout.ports.memberships import DM, Channel


def direct_message(user_id: str, request: CreateChannel, created_at: str) -> tuple[Channel, list[str]]:
    """The channel of a direct message, and its members.

    Args:
        user_id: the caller.
        request: names the other member, and may name the caller.
        created_at: the time.

    Raises:
        CallRejected: the members are not the caller and exactly one other user, or `channel_id` is another id.
    """
    others = set(request.members) - {user_id}
    if len(others) != 1:
        raise CallRejected(INVALID_REQUEST, "members must name exactly one user beside the caller")
    [other] = others
    channel_id = dm_channel_id(user_id, other)
    if request.channel_id not in {None, channel_id}:
        raise CallRejected(INVALID_REQUEST, "the platform makes the channel_id of a direct message")
    channel = Channel(channel_id, request.name or "", private=True, created_by=user_id, created_at=created_at, kind=DM)
    return channel, [user_id, other]


def is_dm(channel: Channel | None) -> bool:
    """Whether it is a direct message: nobody enters it, leaves it or is removed."""
    return channel is not None and channel.kind == DM
