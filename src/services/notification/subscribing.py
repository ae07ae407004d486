"""Loads the channels that a session reads from the membership store."""

from fanout.ports.memberships import Memberships
from services.notification.inbox import Inbox
from services.notification.registry import Registry
from services.notification.session import Session


async def subscribe(session: Session, registry: Registry, inbox: Inbox, memberships: Memberships) -> None:
    """Let a session read exactly the channels of its user. They are loaded again if they change meanwhile.

    Raises:
        Unavailable: the membership store does not answer.
    """
    with inbox.watching(session.user_id) as changes:
        while True:
            seen = changes.count
            channels = await memberships.packed_channels_of(session.user_id)
            if changes.count != seen:
                continue  # the list would take a channel from the user's other sessions that they have got meanwhile
            await registry.subscribe(session, channels)
            if changes.count == seen:
                return
