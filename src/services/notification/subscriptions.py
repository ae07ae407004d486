"""Which session reads which channels. A user of very many channels does not hold up the event loop."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from fanout import Engine, packed_ids
from services.notification.session import Session

INLINE_CHANNELS: Final = 2_000
"""Changes of a user with more channels run in a thread. The engine releases the GIL, so the event loop goes on."""


class Subscriptions:
    """The instance's own routing table: an engine in which each session is an "instance" of its user.

    Changes of one user take effect in the order of the calls. In the engine, a change of a user waits for the one
    before it. So while a thread changes a user, every other change of that user is made by a thread, too.

    Args:
        engine: only this object changes it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._moving: dict[str, asyncio.Future[None]] = {}
        """For each user: the last change that a thread makes or will make."""

    async def subscribe(self, session: Session, channels: bytes) -> None:
        """Let a session read all channels of its user. They are packed."""
        is_long = packed_ids.count(channels) > INLINE_CHANNELS
        await self._change(session.user_id, self._engine.user_online, session.session_id, channels, is_long=is_long)

    async def drop(self, session: Session, *, last: bool) -> None:
        """Let a session read nothing more. With the user's last session, the user's channels are removed."""
        is_long = self._engine.membership_count(session.user_id) > INLINE_CHANNELS
        change = self._drop_user if last else self._drop_session
        await self._change(session.user_id, change, session.session_id, is_long=is_long)

    async def join(self, user_id: str, channel_id: str) -> None:
        """Let the user's sessions read a channel from now on."""
        await self._change(user_id, self._engine.join, channel_id)

    async def leave(self, user_id: str, channel_id: str) -> None:
        """Let the user's sessions read a channel no more."""
        await self._change(user_id, self._engine.leave, channel_id)

    def is_member(self, user_id: str, channel_id: str) -> bool:
        """Whether the user's sessions read a channel."""
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
        # If the caller is cancelled, the change goes on: a thread cannot be stopped, and the next change waits for it.
        await asyncio.shield(moving)

    def _moved(self, user_id: str, done: "asyncio.Future[None]") -> None:
        if self._moving.get(user_id) is done:
            del self._moving[user_id]


async def _in_turn(before: "asyncio.Future[None] | None", change: Callable[..., object], *arguments: Any) -> None:
    if before is not None:
        await asyncio.wait([before])
    await asyncio.to_thread(change, *arguments)
