"""The bus as processes reach it: what is sent while a connection is broken is lost, and subscriptions outlive it."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from fanout.errors import TooLarge, Unavailable
from fanout.ports.bus import GapListener, Handler
from services.adapters.embedded.bus import EmbeddedBus
from services.runtime.gaps import Gaps
from services.runtime.skipping import guarded
from tests.simulation.links import Link, no_more_is_known


class LinkedBus:
    """`fanout.ports.bus.Bus` for one process, over its link.

    Args:
        link: to the server.
        server: the bus.
    """

    def __init__(self, link: Link, server: EmbeddedBus) -> None:
        self._link = link
        self._server = server
        self._gaps = Gaps()
        link.on_cut(lambda: self._gaps.begin(link.arrived_until))
        link.on_mended(self._gaps.tell)

    @property
    def max_payload(self) -> int:
        return self._server.max_payload

    async def publish(self, subject: str, payload: bytes) -> None:
        """As with NATS, no answer is awaited: what is under way when the connection breaks may be lost."""
        self._check_length(payload)
        await asyncio.sleep(0)
        self._write(subject, payload)

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """As with NATS, the first ones may be heard and the others lost when the connection breaks."""
        for _, payload in messages:
            self._check_length(payload)
        await asyncio.sleep(0)
        for message in messages:
            self._write(*message)
        if messages:
            await self.ping()

    async def subscribe(self, subject: str, handler: Handler) -> "LinkedSubscription":
        subscription = LinkedSubscription(self._link, guarded(subject, handler))
        try:
            with no_more_is_known():
                await self._link.call(partial(subscription.open, self._server, subject), "subscribe")
        except BaseException:
            subscription.end()
            raise
        return subscription

    def on_gap(self, listener: GapListener) -> Callable[[], None]:
        """As with NATS, it is called once the connection is there again."""
        return self._gaps.on_gap(listener)

    async def ping(self) -> None:
        with no_more_is_known():
            await self._link.call(self._server.ping, "ping")

    def _write(self, subject: str, payload: bytes) -> None:
        if self._link.is_cut:
            raise Unavailable("no connection to the bus")
        self._link.carry(partial(self._server._send, subject, payload), forth=True)

    def _check_length(self, payload: bytes) -> None:
        if len(payload) > self.max_payload:
            raise TooLarge(f"{len(payload)} bytes; the bus accepts {self.max_payload}")


class LinkedSubscription:
    """A subscription of one process at the bus.

    Args:
        link: of the process.
        handler: gets the messages, in the process.
    """

    def __init__(self, link: Link, handler: Handler) -> None:
        self._link = link
        self._handler = handler
        self._is_open = True

    async def open(self, server: EmbeddedBus, subject: str) -> None:
        """Subscribe; the server does this."""
        await server.subscribe(subject, self._forward)

    async def close(self) -> None:
        self.end()
        await asyncio.sleep(0)

    def end(self) -> None:
        """Hear nothing more."""
        self._is_open = False

    def _forward(self, subject: str, payload: bytes) -> None:
        if self._is_open and not self._link.client.dead:
            self._link.carry(partial(self._arrive, subject, payload), forth=False)

    def _arrive(self, subject: str, payload: bytes) -> None:
        if self._is_open:
            self._handler(subject, payload)
