"""The bus inside one process."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from fanout.errors import TooLarge, Unavailable
from fanout.ports.bus import GapListener, Handler
from services.adapters.embedded.faults import FaultInjection
from services.adapters.embedded.subjects import matches
from services.adapters.embedded.suspension import suspending
from services.runtime.gaps import Gaps
from services.runtime.skipping import guarded

MAX_PAYLOAD: Final = 1 << 20
"""The default of nats-server."""
MAX_UNDELIVERED: Final = 1_000
"""When so many deliveries wait in the event loop, a publisher has to wait too."""


@suspending
class EmbeddedBus:
    """`fanout.ports.bus.Bus` for subscribers of the same process and event loop.

    The event loop calls the handlers; `publish` does not.

    Args:
        faults: the odds that a message is dropped; none by default.
    """

    def __init__(self, *, faults: FaultInjection | None = None) -> None:
        self._faults = faults or FaultInjection()
        self._subscriptions: dict[_Subscription, None] = {}  # a set that keeps its order
        self._gaps = Gaps()
        self._undelivered = 0
        self._closed = False

    @property
    def max_payload(self) -> int:
        """See the port."""
        return MAX_PAYLOAD

    async def publish(self, subject: str, payload: bytes) -> None:
        """See the port."""
        self._check_open()
        self._check_length(payload)
        self._send(subject, payload)

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """See the port."""
        self._check_open()
        for _, payload in messages:
            self._check_length(payload)
        for subject, payload in messages:
            self._send(subject, payload)
            await self._keep_bounded()

    async def subscribe(self, subject: str, handler: Handler) -> "_Subscription":
        """See the port."""
        self._check_open()
        subscription = _Subscription(self, subject, handler)
        self._subscriptions[subscription] = None
        return subscription

    def on_gap(self, listener: GapListener) -> Callable[[], None]:
        """See the port: nothing is lost here but what injected faults drop."""
        return self._gaps.on_gap(listener)

    async def ping(self) -> None:
        """See the port."""
        self._check_open()

    async def close(self) -> None:
        """Stop delivering, and refuse further calls."""
        self._closed = True
        self._gaps.close()
        self._subscriptions.clear()

    def remove(self, subscription: "_Subscription") -> None:
        """Remove a subscription, if it is known."""
        self._subscriptions.pop(subscription, None)

    def _send(self, subject: str, payload: bytes) -> None:
        loop = asyncio.get_running_loop()
        for subscription in self._subscriptions:
            if not matches(subscription.subject, subject):
                continue
            if self._faults.drops():
                self._note_loss()
                continue
            self._undelivered += 1
            loop.call_soon(self._deliver, subscription, subject, payload)

    def _deliver(self, subscription: "_Subscription", subject: str, payload: bytes) -> None:
        self._undelivered -= 1
        if subscription in self._subscriptions:
            subscription.handler(subject, payload)

    def _note_loss(self) -> None:
        self._gaps.begin()
        self._gaps.tell_soon()

    async def _keep_bounded(self) -> None:
        if self._undelivered >= MAX_UNDELIVERED:
            await asyncio.sleep(0)

    def _check_length(self, payload: bytes) -> None:
        if len(payload) > self.max_payload:
            raise TooLarge(f"{len(payload)} bytes; the bus accepts {self.max_payload}")

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the bus is closed")


@suspending
class _Subscription:
    def __init__(self, bus: EmbeddedBus, subject: str, handler: Handler) -> None:
        self.subject = subject
        self.handler = guarded(subject, handler)
        self._bus = bus

    async def close(self) -> None:
        self._bus.remove(self)
