"""Presence as processes reach it: calls over a link, and a subscription to hints that is renewed when it breaks."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from fanout.keys import PRESENCE_CHANGES, PresenceChange
from fanout.ports.presence import ChangeHandler
from services.adapters.embedded.presence import EmbeddedPresence
from services.runtime.skipping import guarded
from services.runtime.tasks import retry_forever
from tests.simulation.links import Link, Linked, no_more_is_known


class LinkedPresence(Linked):
    """The ports of presence for one process."""

    async def watch(self, handler: ChangeHandler) -> "LinkedWatch":
        """See the port."""
        watch = LinkedWatch(self._link, self._target, handler)
        await watch.open()
        return watch

    async def _reach(self, work: Callable[[], Awaitable[Any]], name: str) -> Any:
        with no_more_is_known():
            return await super()._reach(work, name)


class LinkedWatch:
    """A subscription to hints. As with Redis, the server forgets it when the connection breaks, and it is made again.

    Args:
        link: of the process.
        server: presence.
        handler: gets the hints, in the process.
    """

    def __init__(self, link: Link, server: EmbeddedPresence, handler: ChangeHandler) -> None:
        self._link = link
        self._server = server
        self._handler = guarded(PRESENCE_CHANGES, handler)
        self._subscribed: Any = None
        self._again: asyncio.Task[None] | None = None
        self._forget = link.on_cut(self._broken)
        self._closed = False

    async def open(self) -> None:
        """Subscribe. Raises `Unavailable` if the server does not answer."""
        try:
            await self._subscribe()
        except BaseException:
            self._end()
            raise

    async def close(self) -> None:
        """Hear nothing more."""
        self._end()
        await asyncio.sleep(0)

    async def _subscribe(self) -> None:
        with no_more_is_known():
            await self._link.call(self._subscribe_there, "watch")

    async def _subscribe_there(self) -> None:
        self._unsubscribe()
        self._subscribed = await self._server.watch(self._forward)

    def _forward(self, change: PresenceChange) -> None:
        if not self._link.client.dead:
            self._link.carry(partial(self._arrive, change), forth=False)

    def _arrive(self, change: PresenceChange) -> None:
        if not self._closed:
            self._handler(change)

    def _broken(self) -> None:
        self._unsubscribe()
        if not self._link.client.dead and (self._again is None or self._again.done()):
            context = self._link.client.context.copy()
            self._again = self._link._loop.create_task(self._resubscribe(), name="presence-watch", context=context)

    async def _resubscribe(self) -> None:
        while self._subscribed is None:
            await retry_forever(self._subscribe, "watching presence")

    def _unsubscribe(self) -> None:
        if self._subscribed is not None:
            self._server._hints.remove(self._subscribed)
            self._subscribed = None

    def _end(self) -> None:
        self._closed = True
        self._forget()
        self._unsubscribe()
        if self._again is not None:
            self._again.cancel()
