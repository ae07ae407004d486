"""The documents of channels and memberships, and what they are in the port.

A membership's document has `_id` (channel and user), `channel_id`, `user_id`, `membership_id`, `version` and
`joined_at`. `active` says whether it lasts; if it does not, there is `left_at`. `untold` is there while the newest
change is unpublished, and is then the change's version: an index of the field alone holds these documents in the order
in which they are published. `told_at` is there when the end of a membership was published: microseconds since 1970.
"""

from collections.abc import Sequence

from fanout.ids import new_membership_id
from fanout.ports.imports import NewMembership
from fanout.ports.memberships import CHANNEL, Channel, Membership
from services.adapters.mongo.client import Document


def key(channel_id: str, user_id: str) -> str:
    """The `_id` of a membership's document. No id of the two has a colon."""
    return f"{channel_id}:{user_id}"


def key_of(membership: Membership) -> str:
    """The `_id` of a membership's document."""
    return key(membership.channel_id, membership.user_id)


def change_of(membership: Membership) -> Document:
    """The filter that finds a membership's document while no newer change was made."""
    return {"_id": key_of(membership), "version": membership.version}


def new_membership(new: NewMembership, version: int, *, published: bool) -> Membership:
    """A membership that begins."""
    return Membership(
        new.channel_id, new.user_id, new_membership_id(), version, new.joined_at, unpublished=not published
    )


def membership_document(membership: Membership) -> Document:
    """The document of a membership that lasts."""
    document = {
        "_id": key_of(membership),
        "channel_id": membership.channel_id,
        "user_id": membership.user_id,
        "membership_id": membership.membership_id,
        "version": membership.version,
        "joined_at": membership.joined_at,
        "active": True,
    }
    return {**document, "untold": membership.version} if membership.unpublished else document


def membership_of(document: Document) -> Membership:
    """The membership of a document."""
    return Membership(
        document["channel_id"],
        document["user_id"],
        document["membership_id"],
        int(document["version"]),  # the driver has a class of its own for long integers, which JSON has not
        document["joined_at"],
        document.get("left_at"),
        "untold" in document,
    )


def channel_document(channel: Channel, pending: Sequence[str] | None) -> Document:
    """The document of a channel.

    Args:
        channel: the channel.
        pending: the first members, until their events are published; None if nothing is to be published.
    """
    document = {
        "_id": channel.channel_id,
        "name": channel.name,
        "private": channel.private,
        "created_by": channel.created_by,
        "created_at": channel.created_at,
        "kind": channel.kind,
    }
    return document if pending is None else {**document, "unfinished": True, "pending": list(pending)}


def channel_of(document: Document) -> Channel:
    """The channel of a document."""
    name, private, created_by, created_at = (document[each] for each in ("name", "private", "created_by", "created_at"))
    return Channel(document["_id"], name, private, created_by, created_at, document.get("kind", CHANNEL))
