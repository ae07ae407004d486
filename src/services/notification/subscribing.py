"""From the membership store to the channels that a session reads."""

from fanout.ports.memberships import Memberships
from services.notification.inbox import Inbox
from services.notification.registry import Registry
from services.notification.session import Session


async def subscribe(session: Session, registry: Registry, inbox: Inbox, memberships: Memberships) -> None:
    """Let a session read its user's channels, and no other; loaded again where they change meanwhile.

    Raises:
        Unavailable: the store is away.
    """
    with inbox.watching(session.user_id) as changes:
        while True:
            seen = changes.count
            channels = await memberships.channels_of(session.user_id)
            await registry.subscribe(session, channels)
            if changes.count == seen:
                return
