"""Which session reads which channels, kept so that the event loop never waits for a user of very many."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from fanout import Engine
from services.notification.session import Session

INLINE_CHANNELS: Final = 2_000
"""What concerns a user of more is done by a thread: the core releases the GIL, and the event loop goes on."""


class Subscriptions:
    """The instance's own table: the "instances" on which a user is are the user's sessions.

    Changes of one user take effect in the order of the calls. The engine lets one change of a user wait for another, so
    while a thread changes a user, whatever else changes the same user is done by a thread too.

    Args:
        engine: nothing but this changes it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._moving: dict[str, asyncio.Future[None]] = {}
        """By user: the last change that a thread makes or is to make."""

    async def subscribe(self, session: Session, channels: list[str]) -> None:
        """Let a session read channels: its user's, all of them."""
        is_long = len(channels) > INLINE_CHANNELS
        await self._change(session.user_id, self._engine.user_online, session.session_id, channels, is_long=is_long)

    async def drop(self, session: Session, *, last: bool) -> None:
        """Let a session read nothing more; with the user's last one, the user's channels are forgotten."""
        is_long = self._engine.membership_count(session.user_id) > INLINE_CHANNELS
        change = self._drop_user if last else self._drop_session
        await self._change(session.user_id, change, session.session_id, is_long=is_long)

    async def join(self, user_id: str, channel_id: str) -> None:
        """The user's sessions read the channel from now on."""
        await self._change(user_id, self._engine.join, channel_id)

    async def leave(self, user_id: str, channel_id: str) -> None:
        """The user's sessions read the channel no more."""
        await self._change(user_id, self._engine.leave, channel_id)

    def is_member(self, user_id: str, channel_id: str) -> bool:
        """Whether the user's sessions read the channel."""
        return self._engine.is_member(user_id, channel_id)

    def _drop_session(self, _user_id: str, session_id: str) -> None:
        self._engine.drop_instance(session_id)

    def _drop_user(self, user_id: str, session_id: str) -> None:
        self._engine.drop_instance(session_id)
        self._engine.forget(user_id)

    async def _change(
        self, user_id: str, change: Callable[..., object], *arguments: Any, is_long: bool = False
    ) -> None:
        before = self._moving.get(user_id)
        if before is None and not is_long:
            change(user_id, *arguments)
            return
        moving = asyncio.ensure_future(_in_turn(before, change, user_id, *arguments))
        self._moving[user_id] = moving
        moving.add_done_callback(lambda done: self._moved(user_id, done))
        # A caller that is cancelled leaves the change to itself: a thread cannot be stopped, and the next change waits.
        await asyncio.shield(moving)

    def _moved(self, user_id: str, done: "asyncio.Future[None]") -> None:
        if self._moving.get(user_id) is done:
            del self._moving[user_id]


async def _in_turn(before: "asyncio.Future[None] | None", change: Callable[..., object], *arguments: Any) -> None:
    if before is not None:
        await asyncio.wait([before])
    await asyncio.to_thread(change, *arguments)
