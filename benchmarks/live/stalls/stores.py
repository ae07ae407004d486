"""What a worker and an instance are given in one process: embedded adapters, and a user of very many channels."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from benchmarks.errors import BenchError
from fanout.events import timestamp
from fanout.ports.memberships import Channel
from services.adapters.embedded.bus import EmbeddedBus
from services.adapters.embedded.log import EmbeddedLog
from services.adapters.embedded.presence import EmbeddedPresence
from services.adapters.sqlite.memberships import SqliteMemberships

VISITOR: Final = "visitor"
"""Who is in very many channels."""
_CREATED_AT_ONCE: Final = 500
_PARTITIONS: Final = 4
_LOOK_EVERY_S: Final = 0.02


class StallsSettings(msgspec.Struct, frozen=True):
    """How many are on a roster, how many channels the visitor has, and how often each is tried."""

    users: int
    channels: int
    rounds: int


class WrongOutcomeError(BenchError):
    """What was done did not come to what it should, so how long the loop stood still says nothing."""


class Stores(msgspec.Struct, frozen=True):
    """The ports of both services, embedded."""

    log: EmbeddedLog
    bus: EmbeddedBus
    presence: EmbeddedPresence
    memberships: SqliteMemberships


@asynccontextmanager
async def opened(channels: int) -> AsyncIterator[Stores]:
    """Open all in memory, with the visitor's channels.

    Args:
        channels: of the visitor; nobody else has any.
    """
    stores = Stores(
        await EmbeddedLog.open(None, partitions=_PARTITIONS),
        EmbeddedBus(),
        EmbeddedPresence(),
        await SqliteMemberships.open(None),
    )
    try:
        await _fill(stores.memberships, channels)
        yield stores
    finally:
        for store in (stores.memberships, stores.presence, stores.bus, stores.log):
            await store.close()


def channel_name(number: int) -> str:
    """Of the visitor's channels; neighbours in number are none in name."""
    return f"channel-{number * 2_654_435_761 % 2**32:010d}-{number}"


async def until(holds: Callable[[], bool], what: str, within_s: float = 120.0) -> None:
    """Wait for what the services bring about.

    Raises:
        WrongOutcomeError: it did not come.
    """
    try:
        async with asyncio.timeout(within_s):
            while not holds():  # noqa: ASYNC110 - what is looked at has no event
                await asyncio.sleep(_LOOK_EVERY_S)
    except TimeoutError:
        raise WrongOutcomeError(f"{what}: not within {within_s:g} s") from None


async def _fill(memberships: SqliteMemberships, channels: int) -> None:
    now = timestamp()
    for start in range(0, channels, _CREATED_AT_ONCE):
        names = [channel_name(number) for number in range(start, min(start + _CREATED_AT_ONCE, channels))]
        documents = [Channel(name, name, private=False, created_by=VISITOR, created_at=now) for name in names]
        await asyncio.gather(*(memberships.create(document, [VISITOR]) for document in documents))
