"""Loads the channels of a new session: as the workers have them in their tables, or else from the membership store."""

from fanout.ports.memberships import Memberships
from fanout.ports.socket import SocketClosed
from services.notification.channel_lists import ChannelLists
from services.notification.inbox import Inbox
from services.notification.metrics import CHANNEL_LISTS
from services.notification.registry import Registry
from services.notification.session import Session
from services.notification.subscribing import subscribe
from services.notification.user_routing import UserRouting


class SessionChannels:
    """Lets new sessions read the channels of their users.

    Args:
        registry: has the sessions.
        inbox: applies the changes of memberships.
        user_routing: has announced the users.
        channel_lists: asks the workers.
        memberships: the store.
    """

    def __init__(
        self,
        registry: Registry,
        inbox: Inbox,
        user_routing: UserRouting,
        channel_lists: ChannelLists,
        memberships: Memberships,
    ) -> None:
        self._registry = registry
        self._inbox = inbox
        self._user_routing = user_routing
        self._channel_lists = channel_lists
        self._memberships = memberships

    async def load(self, session: Session) -> None:
        """Let a session read exactly the channels of its user, and wait until the workers route each of them here.

        Raises:
            SocketClosed: the client has gone.
            Unavailable: no worker gives the channels, and the membership store does not answer.
        """
        if await self._load_as_routed(session):
            CHANNEL_LISTS.labels("worker").inc()
        else:
            await subscribe(session, self._registry, self._inbox, self._memberships)
            CHANNEL_LISTS.labels("store").inc()
        # A worker may have given a change that another one has not applied, as the store may.
        await self._user_routing.await_members(session)
        _check_open(session)

    async def _load_as_routed(self, session: Session) -> bool:
        """Take the list of a worker. Return whether there is one that can be used.

        A worker that does not know of a loss of the log has positions of before it, which are lower than the end. A
        list is not asked for again when a change comes meanwhile: the next worker may not have applied it yet.
        """
        if self._channel_lists.were_changes_lost():
            return False  # no worker will be asked, so none is waited for before the store is read
        user_id = session.user_id
        with self._inbox.watching(user_id) as changes:
            seen = changes.count
            # A change that a worker has routed before it knew that the user is here does not come here. After this,
            # each worker has applied such changes, so they are in the list that it gives.
            upto = await self._user_routing.await_members(session)
            _check_open(session)
            found = None if upto is None else await self._channel_lists.ask(user_id, members_upto=upto)
            if found is None or changes.count != seen:
                return False
            await self._registry.subscribe(session, found)
            return changes.count == seen


def _check_open(session: Session) -> None:
    if session.socket.is_closed:
        raise SocketClosed
