"""The sessions of an instance, and which of them read a channel."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable

from fanout import Engine, LogCache, machine, presence_digest
from fanout.error_codes import CloseCode
from services.notification.metrics import CONNECTIONS
from services.notification.session import Session
from services.notification.subscriptions import Subscriptions
from services.notification.write_queue import WHAT_TO_DO, WriteQueue


class Registry:
    """The sessions by id and by user. `Subscriptions` says which of them read a channel."""

    def __init__(self) -> None:
        self._engine = Engine(cache_users=1, **machine.engine_options())
        self._subscriptions = Subscriptions(self._engine)
        self._sessions: dict[str, Session] = {}
        self._by_user: defaultdict[str, dict[str, Session]] = defaultdict(dict)
        self._users_hash = 0
        self.write_queue = WriteQueue(self._engine, self._close_slow)
        """Holds the frames that wait for their sockets."""
        self.empty = asyncio.Event()
        """Set while there is no session."""
        self.empty.set()

    def __len__(self) -> int:
        return len(self._sessions)

    def __contains__(self, session: Session) -> bool:
        return self._sessions.get(session.session_id) is session

    def sessions(self) -> list[Session]:
        """Every session."""
        return list(self._sessions.values())

    def users(self) -> list[str]:
        """The users who have a session, in no particular order."""
        return list(self._by_user)

    def digest(self) -> tuple[int, int]:
        """`fanout.presence_digest` of `users()`. It is kept up to date with each change, so this costs nothing."""
        return len(self._by_user), self._users_hash

    def sessions_of(self, user_id: str) -> list[Session]:
        """The user's sessions here."""
        return list(self._by_user[user_id].values()) if user_id in self._by_user else []

    def add(self, session: Session) -> None:
        """Add a session. It reads no channel yet."""
        self.write_queue.add(session)
        self._sessions[session.session_id] = session
        if session.user_id not in self._by_user:
            self._count_user(session.user_id, 1)
        self._by_user[session.user_id][session.session_id] = session
        self.empty.clear()
        CONNECTIONS.set(len(self._sessions))

    async def remove(self, session: Session) -> None:
        """Remove a session at once, and its subscriptions before this returns. A second call does nothing."""
        if self._sessions.pop(session.session_id, None) is None:
            return
        self.write_queue.remove(session)
        mine = self._by_user[session.user_id]
        del mine[session.session_id]
        if not mine:
            del self._by_user[session.user_id]
            self._count_user(session.user_id, -1)
        if not self._sessions:
            self.empty.set()
        CONNECTIONS.set(len(self._sessions))
        await self._subscriptions.drop(session, last=not mine)

    async def subscribe(self, session: Session, channels: bytes) -> None:
        """Let a session read all channels of its user, which are packed. If it was removed meanwhile, it reads none."""
        await self._subscriptions.subscribe(session, channels)
        if session.session_id not in self._sessions:
            await self._subscriptions.drop(session, last=session.user_id not in self._by_user)

    def log_cache(self, partitions: int, most_bytes: int) -> LogCache:
        """A cache of messages, which knows the channels of each user. See `fanout.LogCache`."""
        return LogCache(self._engine, partitions, most_bytes)

    def silence(self, session: Session) -> None:
        """Deliver no more events of channels to a session."""
        self.write_queue.mute(session)

    async def join(self, user_id: str, channel_id: str) -> None:
        """Let the user's sessions read a channel from now on."""
        await self._subscriptions.join(user_id, channel_id)

    async def leave(self, user_id: str, channel_id: str) -> None:
        """Let the user's sessions read a channel no more."""
        await self._subscriptions.leave(user_id, channel_id)

    def is_member(self, user_id: str, channel_id: str) -> bool:
        """Whether the user's sessions read a channel."""
        return self._subscriptions.is_member(user_id, channel_id)

    def deliver(
        self,
        channel_id: str,
        frame: bytes,
        *,
        seq: int = 0,
        ephemeral: bool = False,
        without: str | None = None,
        also: str | None = None,
    ) -> None:
        """Queue a frame for the sessions that read a channel.

        Args:
            channel_id: which channel.
            frame: one WebSocket frame, the same bytes for all.
            seq: the place in the log of an event that clients get from there when they were away; 0 for any other.
            ephemeral: it may be dropped for a slow reader.
            without: a user whose sessions do not get it.
            also: a user whose sessions get it in any case.
        """
        self.write_queue.deliver(
            channel_id, frame, seq=seq, ephemeral=ephemeral, without=self._of(without), also=self._of(also)
        )

    def deliver_to_user(self, user_id: str, frame: bytes, *, ephemeral: bool = False) -> None:
        """Queue a frame for all sessions of a user."""
        for session in self.sessions_of(user_id):
            self.write_queue.queue(session, frame, ephemeral=ephemeral)

    def _count_user(self, user_id: str, sign: int) -> None:
        # The hash of a set of users is the sum of the hashes of its users, modulo 2^64.
        self._users_hash = (self._users_hash + sign * presence_digest([user_id])[1]) % (1 << 64)

    def _of(self, user_id: str | None) -> Iterable[Session]:
        return () if user_id is None else self._by_user.get(user_id, {}).values()

    def _close_slow(self, session: Session) -> None:
        self.silence(session)
        session.end(CloseCode.SLOW_CONSUMER, f"reads too slowly; {WHAT_TO_DO}")
