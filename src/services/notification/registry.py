"""The sessions of an instance, and which of them read a channel."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable

from fanout import Engine
from services.notification.close_codes import SLOW_CONSUMER
from services.notification.metrics import CONNECTIONS
from services.notification.session import Session


class Registry:
    """Local routing, channel -> sessions.

    It is the engine again: here the "instances" on which a user is are the user's sessions.
    """

    def __init__(self) -> None:
        self._engine = Engine(cache_users=1)
        self._sessions: dict[str, Session] = {}
        self._by_user: defaultdict[str, dict[str, Session]] = defaultdict(dict)
        self._unflushed: set[Session] = set()
        self.queued = 0
        """Frames since the last flush of all, each counted for each session."""
        self.empty = asyncio.Event()
        """Set while no session is held."""
        self.empty.set()

    def __len__(self) -> int:
        return len(self._sessions)

    def sessions(self) -> list[Session]:
        """Every session."""
        return list(self._sessions.values())

    def users(self) -> list[str]:
        """The users who have a session, in no order."""
        return list(self._by_user)

    def sessions_of(self, user_id: str) -> list[Session]:
        """The user's sessions here."""
        return list(self._by_user[user_id].values()) if user_id in self._by_user else []

    def add(self, session: Session) -> None:
        """Hold a session; it reads no channel yet."""
        self._sessions[session.session_id] = session
        self._by_user[session.user_id][session.session_id] = session
        self.empty.clear()
        CONNECTIONS.set(len(self._sessions))

    def remove(self, session: Session) -> None:
        """Forget a session. Twice is once."""
        if self._sessions.pop(session.session_id, None) is None:
            return
        self._engine.drop_instance(session.session_id)
        self._unflushed.discard(session)
        mine = self._by_user[session.user_id]
        del mine[session.session_id]
        if not mine:
            del self._by_user[session.user_id]
            self._engine.forget(session.user_id)
        if not self._sessions:
            self.empty.set()
        CONNECTIONS.set(len(self._sessions))

    def subscribe(self, session: Session, channels: Iterable[str]) -> None:
        """Let a session read channels: its user's, all of them."""
        self._engine.user_online(session.user_id, session.session_id, channels)

    def silence(self, session: Session) -> None:
        """Route nothing more to a session."""
        self._engine.user_offline(session.user_id, session.session_id)

    def join(self, user_id: str, channel_id: str) -> None:
        """The user's sessions read the channel from now on."""
        self._engine.join(user_id, channel_id)

    def leave(self, user_id: str, channel_id: str) -> None:
        """The user's sessions read the channel no more."""
        self._engine.leave(user_id, channel_id)

    def is_member(self, user_id: str, channel_id: str) -> bool:
        """Whether the user's sessions read the channel."""
        return self._engine.is_member(user_id, channel_id)

    def deliver(
        self,
        channel_id: str,
        frame: bytes,
        *,
        ephemeral: bool = False,
        without: str | None = None,
        also: str | None = None,
    ) -> None:
        """Queue a frame for the sessions that read a channel; `flush` writes it.

        Args:
            channel_id: which channel.
            frame: one WebSocket frame, the same bytes for all.
            ephemeral: it may be dropped for a slow reader.
            without: a user whose sessions do not get it.
            also: a user whose sessions get it in any case.
        """
        readers = self._engine.instances(channel_id)
        if also is not None:
            readers |= frozenset(self._by_user.get(also, ()))
        if without is not None:
            readers -= frozenset(self._by_user.get(without, ()))
        for session_id in readers:
            self._queue(self._sessions.get(session_id), frame, ephemeral=ephemeral)

    def deliver_to_user(self, user_id: str, frame: bytes, *, ephemeral: bool = False) -> None:
        """Queue a frame for all sessions of a user."""
        for session in self.sessions_of(user_id):
            self._queue(session, frame, ephemeral=ephemeral)

    def flush(self, most: int | None = None) -> bool:
        """Write what was queued since the last time, for `most` sessions or all; whether there is more."""
        for _ in range(len(self._unflushed) if most is None else min(most, len(self._unflushed))):
            self._unflushed.pop().flush()
        if not self._unflushed:
            self.queued = 0
        return bool(self._unflushed)

    def _queue(self, session: Session | None, frame: bytes, *, ephemeral: bool) -> None:
        if session is None:
            return
        self.queued += 1
        if session.queue(frame, ephemeral=ephemeral):
            self._unflushed.add(session)
        else:
            self.silence(session)
            session.end(SLOW_CONSUMER, "reads too slowly; resume from the last seq")
