"""Users' channels read from MongoDB: by the adapter, in logins, and by PyMongo alone, of one server in the same run."""

import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

import msgspec
import uvloop
from msgspec import Meta
from pymongo import AsyncMongoClient

from benchmarks.errors import BenchError
from benchmarks.live.long_logins import Logins, opened_logins
from benchmarks.live.servers import running, workplace
from benchmarks.live.stalls import Stalls, Watch
from fanout.events import timestamp
from fanout.packed_ids import pack
from fanout.ports.memberships import Membership
from services.adapters.mongo.documents import membership_document
from services.adapters.mongo.memberships import MongoMemberships
from services.runtime.lifecycle import spare_the_loop

FULL_CHANNELS: Final = 100_000
_INSERTED_AT_ONCE: Final = 1_000
_READ_AT_ONCE: Final = 1_000
_USERS: Final = ("visitor", "second-visitor", "third-visitor")
_DATABASE: Final = "bench"
_ANSWER_WITHIN_S: Final = 300.0
"""The server of a benchmark may sort all documents before it answers: it uses no index."""


class ListOptions(msgspec.Struct, frozen=True):
    """How much there is to read."""

    channels: Annotated[int, Meta(ge=1, description="Channels of the user.")] = FULL_CHANNELS
    rounds: Annotated[int, Meta(ge=1, description="How often each reads them, in turn.")] = 3


class Reader(msgspec.Struct, frozen=True):
    """One way to read."""

    seconds: list[float]
    """The duration of each round."""
    stalls: Stalls
    """The stalls of the loop on which it read."""

    @property
    def best(self) -> float:
        """Seconds of the fastest round."""
        return min(self.seconds)


class Lists(msgspec.Struct, frozen=True):
    """The result: both ways to read, and logins of one user and of three at the same time."""

    adapter: Reader
    bare: Reader
    logins: list[Logins]


async def read_lists(options: ListOptions) -> Lists:
    """Start a server with the memberships of one user, read the user's channels in all ways, and then of three users.

    Raises:
        BenchError: the server did not start, or one of the two read something else than the user's channels.
    """
    spare_the_loop()
    with workplace() as folder, running("ferretdb", folder) as server:
        return await _read_from(f"mongodb://127.0.0.1:{server.port}/{_DATABASE}", options)


async def _read_from(url: str, options: ListOptions) -> Lists:
    names = [f"channel-{number:07}" for number in range(options.channels)]
    store = await MongoMemberships.open(url, timeout_s=_ANSWER_WITHIN_S)
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        documents = client[_DATABASE]["memberships"]

        async def bare(user: str) -> list[str]:
            wanted = {"user_id": user, "active": True}
            cursor = documents.find(wanted, {"_id": 0, "channel_id": 1}).sort("channel_id").batch_size(_READ_AT_ONCE)
            return [document["channel_id"] async for document in cursor]

        async def insert(user: str) -> None:
            for start in range(0, len(names), _INSERTED_AT_ONCE):
                some = names[start : start + _INSERTED_AT_ONCE]
                await documents.insert_many([_document(name, user) for name in some])

        first, *others = _USERS
        try:
            await insert(first)
            adapter, alone = await _in_turn(
                (lambda: store.packed_channels_of(first), lambda: bare(first)), (pack(names), names), options.rounds
            )
            async with opened_logins(store, dict.fromkeys(_USERS, names)) as bench:
                single = await bench.measure([first], bare, options.rounds)
                for user in others:
                    await insert(user)
                return Lists(adapter, alone, [single, await bench.measure(_USERS, bare, 1)])
        finally:
            await store.close()


def _document(channel_id: str, user: str) -> dict[str, Any]:
    membership_id = f"mem_{channel_id}_{user}"
    return membership_document(Membership(channel_id, user, membership_id, 1, timestamp(), unpublished=False))


async def _in_turn(
    ways: tuple[Callable[[], Awaitable[object]], ...], expected: tuple[object, ...], rounds: int
) -> list[Reader]:
    """Each reads once before the clock runs, and is checked: what was read wrongly has no figure.

    Args:
        ways: to read.
        expected: what each of them has to return.
        rounds: how often each reads then, in turn.
    """
    for read, right in zip(ways, expected, strict=True):
        _check(await read(), right)
    seconds, watches = [list[float]() for _ in ways], [Watch() for _ in ways]
    spare_the_loop()  # from the lists of the harness, which the garbage collector would walk through
    for _ in range(rounds):
        for read, right, taken, watch in zip(ways, expected, seconds, watches, strict=True):
            async with watch:
                began = time.perf_counter()
                found = await read()
                taken.append(time.perf_counter() - began)
            _check(found, right)
    return [Reader(taken, watch.result()) for taken, watch in zip(seconds, watches, strict=True)]


def _check(found: object, expected: object) -> None:
    if found != expected:
        raise BenchError("a reader did not get the channels of the user, sorted")


def run_lists(options: ListOptions) -> Lists:
    """`read_lists` on a loop of its own, of the kind that services run on."""
    return uvloop.run(read_lists(options))
