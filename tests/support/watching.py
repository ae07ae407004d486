"""`fanout.client` with a program that keeps every event, for tests that look at them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fanout.client import ClientSettings, Delays, Device, Event, MessageNew
from fanout.client.connection import Client
from fanout.ids import new_device_id
from tests.support.cluster import token

WITHIN_S = 30.0
SOON = ClientSettings(delays=Delays(0.1, 0.5), repeat_after_s=0.2)

_E = TypeVar("_E")


class Watcher:
    """Takes the events of a client as they come.

    Attributes:
        client: the client.
        events: every event so far.
        ending: why the client has ended, if it has.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.events: list[Event] = []
        self.ending: Exception | None = None
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Take the events until the client ends."""
        try:
            async for event in self.client:
                self.events.append(event)
                self._changed.set()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.ending = error
        self._changed.set()

    def of_type(self, kind: type[_E]) -> list[_E]:
        """The events of a type."""
        return [event for event in self.events if isinstance(event, kind)]

    def texts(self) -> list[str]:
        """The texts of the messages that came as such."""
        return [event.message.text for event in self.of_type(MessageNew)]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the events, or the end of the client, fulfil a condition."""
        try:
            async with asyncio.timeout(WITHIN_S):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"only this came: {self.events[-20:]}, {self.ending!r}") from None

    async def receives(self, kind: type[_E], count: int = 1) -> _E:
        """Wait for so many events of a type, and return the last one of them."""
        await self.until(lambda: len(self.of_type(kind)) >= count)
        return self.of_type(kind)[count - 1]


@asynccontextmanager
async def watching(url: str, user_id: str, **options: Any) -> AsyncIterator[Watcher]:
    """A client of a user, and a program that takes its events, for the length of the context."""
    device = Device(options.pop("device_id", None) or new_device_id(), state=options.pop("state", "idle"))
    tokens = options.pop("tokens", lambda: token(user_id))
    async with Client(url, tokens, device, **{"settings": SOON} | options) as client:
        watcher = Watcher(client)
        taking = asyncio.create_task(watcher.run())
        try:
            yield watcher
        finally:
            await client.close()
            await taking
