"""The embedded adapters, with faults that a test switches on. Without a fault they keep the contract of their port."""

import asyncio
import functools
import inspect
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from fanout import machine
from fanout.errors import Unavailable
from fanout.membership_versions import now_us
from fanout.ports.log import StoredEvent
from services.adapters.embedded.bus import EmbeddedBus
from services.adapters.embedded.log import EmbeddedLog
from services.adapters.embedded.presence import EmbeddedPresence
from services.adapters.sqlite.database import Database
from services.adapters.sqlite.memberships import SqliteMemberships
from services.adapters.sqlite.messages import SqliteMessages
from services.adapters.sqlite.user_state import SqliteUserState

_Class = TypeVar("_Class", bound=type)

NO_MESSAGES: Final[Any] = None
"""The message store of a command service that is sent no replies."""
NO_DEVICES: Final[Any] = None
"""The record of devices of a part that serves no logins."""
NO_FOLLOWERS: Final[Any] = None
"""What such a service has as the followers of threads."""

_PAST_THE_SWITCHES: Final = frozenset({"arrive", "close", "lose_one", "stored"})
"""Methods for the test itself."""


class FaultSwitches:
    """The switches of an adapter. Each call passes them before it takes effect.

    Attributes:
        down: every call raises `Unavailable`.
        away: calls with one of these as their first argument, such as a stream's name, raise `Unavailable`.
        hung: calls with one of these as their first argument get no answer.
        fail_after: so many more calls succeed; the next one raises `Unavailable`, and those after it succeed.
        blocked: a call waits while this is True.
        outcomes: by method: an exception that the call raises, or what it returns, in place of its effect.
        calls: by method: how many calls were made, whatever came of them.
    """

    down = False
    fail_after: int | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.away: set[str] = set()
        self.hung: set[str] = set()
        self.outcomes: dict[str, Any] = {}
        self.calls: Counter[str] = Counter()
        self._free = asyncio.Event()
        self._free.set()

    @property
    def blocked(self) -> bool:
        return not self._free.is_set()

    @blocked.setter
    def blocked(self, blocked: bool) -> None:
        (self._free.clear if blocked else self._free.set)()

    async def _pass(self, method: str, about: object = None) -> None:
        """Let a call take effect, or raise the fault that is switched on."""
        await asyncio.sleep(0)
        self.calls[method] += 1
        await self._free.wait()
        subject = about if isinstance(about, str) else ""
        if subject in self.hung:
            await asyncio.Event().wait()
        if self.fail_after is not None:
            self.fail_after -= 1
            if self.fail_after < 0:
                self.fail_after = None
                raise Unavailable("switched off for one call")
        if self.down or subject in self.away:
            raise Unavailable("switched off")
        if isinstance(outcome := self.outcomes.get(method), Exception):
            raise outcome


def faulty(adapter: _Class) -> _Class:
    """Let each call of an adapter that has `FaultSwitches` pass its switches. What subclasses override is theirs."""
    for name, method in inspect.getmembers(adapter, inspect.isfunction):
        if name.startswith("_") or name in _PAST_THE_SWITCHES:
            continue
        if inspect.iscoroutinefunction(method):
            setattr(adapter, name, _faulty_call(name, method))
        elif inspect.isasyncgenfunction(method):
            setattr(adapter, name, _faulty_reading(name, method))
    return adapter


def _faulty_call(name: str, method: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    @functools.wraps(method)
    async def call(self: FaultSwitches, *arguments: Any, **options: Any) -> Any:
        await self._pass(name, *arguments[:1])
        if name in self.outcomes:
            return self.outcomes[name]
        return await method(self, *arguments, **options)

    return call


def _faulty_reading(name: str, method: Callable[..., AsyncIterator[Any]]) -> Callable[..., Any]:
    @functools.wraps(method)
    async def call(self: FaultSwitches, *arguments: Any, **options: Any) -> Any:
        await self._pass(name, *arguments[:1])
        async for item in method(self, *arguments, **options):
            yield item

    return call


@faulty
class FaultyLog(FaultSwitches, EmbeddedLog):
    """An embedded log with faults, which tests can read whatever its faults."""

    def limit(self, longest: int) -> None:
        """Take no event of more bytes from now on."""
        self._longest = longest

    async def stored(self, stream: str) -> list[StoredEvent]:
        """Every event that a stream holds, read past the faults."""
        return [event async for event in EmbeddedLog.read(self, stream, after=0, upto=1 << 62)]


@faulty
class FaultyPresence(FaultSwitches, EmbeddedPresence):
    """Embedded presence with faults."""


@faulty
class FaultyMemberships(FaultSwitches, SqliteMemberships):
    """A membership store with faults."""


@faulty
class FaultyMessages(FaultSwitches, SqliteMessages):
    """A message store with faults."""


@faulty
class FaultyUnread(FaultSwitches, SqliteUserState):
    """Unread counts and drafts with faults."""


@faulty
class FaultyBus(FaultSwitches, EmbeddedBus):
    """An embedded bus with faults, which loses messages and has a limit that may change.

    Attributes:
        published: the messages that publishers gave it and that it took, the lost ones too.
        limit: bytes that one message may have.
        prefix: messages to subjects that begin so may be lost.
        share: the odds, from 0 to 1, that such a message is lost before anybody hears it.
        lost: how many were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.published: list[tuple[str, bytes]] = []
        self.limit = super().max_payload
        self.prefix = ""
        self.share = 0.0
        self.lost = 0
        self._random = random.Random(5)  # noqa: S311 - repeatable

    @property
    def max_payload(self) -> int:
        return self.limit

    @property
    def offered(self) -> int:
        """How many publications were tried."""
        return self.calls["publish"] + self.calls["publish_many"]

    async def publish(self, subject: str, payload: bytes) -> None:
        if not self._loses(subject):
            await super().publish(subject, payload)
        self.published.append((subject, payload))

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> None:
        await super().publish_many([message for message in messages if not self._loses(message[0])])
        self.published += messages

    async def arrive(self, subject: str, payload: bytes) -> None:
        """Hand on a message of another process, past the faults; return when its subscribers have heard it."""
        await EmbeddedBus.publish(self, subject, payload)

    async def lose_one(self) -> None:
        """Lose a message that nobody misses. The gap is told in a moment."""
        self._note_loss()

    def tell_gap(self, seconds: float) -> None:
        """Tell the listeners now that messages of so many seconds may have been lost."""
        self._gaps.begin(machine.monotonic_s() - seconds)
        self._gaps.tell()

    def _loses(self, subject: str) -> bool:
        lost = subject.startswith(self.prefix) and self._random.random() < self.share
        if lost:
            self.lost += 1
            self._note_loss()
        return lost


@asynccontextmanager
async def faulty_log(**options: Any) -> AsyncIterator[FaultyLog]:
    """A log in memory; the options are those of `EmbeddedLog.open`."""
    log = await FaultyLog.open(None, **options)
    try:
        yield log
    finally:
        await log.close()


@asynccontextmanager
async def faulty_memberships(clock: Callable[[], int] = now_us) -> AsyncIterator[FaultyMemberships]:
    """A membership store in memory."""
    store = FaultyMemberships(await Database.open(None, FaultyMemberships.schema), clock)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def faulty_messages() -> AsyncIterator[FaultyMessages]:
    """A message store in memory."""
    store = await FaultyMessages.open(None)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def faulty_unread() -> AsyncIterator[FaultyUnread]:
    """Unread counts in memory."""
    store = await FaultyUnread.open(None)
    try:
        yield store
    finally:
        await store.close()
