"""The bus: subjects without memory. What nobody hears is gone."""

from collections.abc import Callable, Sequence
from typing import Protocol

Handler = Callable[[str, bytes], None]
"""Called in the event loop with subject and payload, in the order of arrival; must be quick.

One that raises loses its message: the adapter counts that and logs it, and hands on the next one."""


class Subscription(Protocol):
    """A standing interest in a subject."""

    async def close(self) -> None:
        """Hear no more."""
        ...


class Bus(Protocol):
    """At most once, in order per publisher and subject."""

    @property
    def max_payload(self) -> int:
        """Bytes that one message may have. May change when a connection was lost: read it before each message."""
        ...

    async def publish(self, subject: str, payload: bytes) -> None:
        """Send to whoever listens now.

        Raises:
            Unavailable: there is no connection; nothing is kept to be sent later.
            TooLarge: the payload is longer than `max_payload`.
        """
        ...

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """`publish` for several, and return when the server has taken them all.

        Raises:
            Unavailable: as `publish`; some may have been sent.
            TooLarge: a payload is longer than `max_payload`; none was sent.
        """
        ...

    async def subscribe(self, subject: str, handler: Handler) -> Subscription:
        """Hear a subject (`*` is one token, `>` the rest), through reconnects, until closed."""
        ...

    async def ping(self) -> None:
        """Return when the bus answers."""
        ...
