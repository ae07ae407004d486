"""The bus: publish and subscribe without storage. A message that nobody receives is lost."""

from collections.abc import Callable, Sequence
from typing import Protocol

Handler = Callable[[str, bytes], None]
"""Called in the event loop with subject and payload, in the order of arrival; must be quick.

If it raises, its message is lost: the adapter counts and logs the error, and continues with the next message."""

GapListener = Callable[[float], None]
"""Called in the event loop with the seconds within which messages may have been lost; must be quick."""


class Subscription(Protocol):
    """An open subscription."""

    async def close(self) -> None:
        """End the subscription: the handler is not called again."""
        ...


class Bus(Protocol):
    """Delivers at most once, and in order for each publisher and subject."""

    @property
    def max_payload(self) -> int:
        """Bytes that one message may have. Read it before each message: it may differ after a reconnect."""
        ...

    async def publish(self, subject: str, payload: bytes) -> None:
        """Send to those who are subscribed now.

        Raises:
            Unavailable: there is no connection. The message is not sent later.
            TooLarge: the payload is longer than `max_payload`.
        """
        ...

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Publish several messages, and return when the server has received them all.

        Raises:
            Unavailable: there is no connection. Some of them may have been sent.
            TooLarge: a payload is longer than `max_payload`. None was sent.
        """
        ...

    async def subscribe(self, subject: str, handler: Handler) -> Subscription:
        """Call the handler for each message of a subject, across reconnects, until the subscription is closed.

        Args:
            subject: may have wildcards: `*` stands for one token, `>` for all that follow.
            handler: gets the messages.
        """
        ...

    def on_gap(self, listener: GapListener) -> Callable[[], None]:
        """Call `listener` each time that messages may have been lost, as soon as they come again.

        That is so after a broken connection, and after a subscription whose handler was slow. It is told how many
        seconds ago it was still certain that nothing was lost: what was published longer ago than that has arrived,
        here what others published, and at the server what was published here. There may have been no loss at all.

        Args:
            listener: gets the seconds. If it raises, the error is counted and logged.

        Returns:
            ends that. The listener may be called no more after it.
        """
        ...

    async def ping(self) -> None:
        """Return when the bus answers."""
        ...
