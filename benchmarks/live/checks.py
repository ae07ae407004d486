"""Checks of memberships: by the store alone, and by the cache in front of it, of the same pairs in the same run."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from benchmarks.errors import BenchError
from benchmarks.live.servers import running, workplace
from fanout.events import timestamp
from fanout.ports.memberships import Channel, Memberships
from services.adapters.embedded.log import EmbeddedLog
from services.adapters.mongo.memberships import MongoMemberships
from services.adapters.sqlite.memberships import SqliteMemberships
from services.runtime.membership_cache import MembershipCache
from services.runtime.membership_follower import following_memberships

FULL_CHECKS: Final = 20_000
STORES: Final = {"SQLite": 1, "FerretDB": 40}
"""Each store, and the divisor of its checks: the server of the benchmark is much slower than a MongoDB."""
STORE: Final = "the store alone"
KEPT: Final = "the cache, which has the answer"
ASKING: Final = "the cache, which asks the store"
WAYS: Final = (STORE, KEPT, ASKING)
_MEMBERS: Final = 10
_CHANNELS: Final = 20
_FOLLOWED_WITHIN_S: Final = 30.0

Check = Callable[[str, str], Awaitable[bool]]


class CheckOptions(msgspec.Struct, frozen=True):
    """How often."""

    checks: Annotated[int, Meta(ge=1, description="Checks in each round, of 200 memberships in turn.")] = FULL_CHECKS
    rounds: Annotated[int, Meta(ge=1, description="Rounds of each way, in turn.")] = 3


class Cost(msgspec.Struct, frozen=True):
    """The cost of a check, in seconds: of the fastest round."""

    clock: float
    processor: float
    """All threads of this process: a server's own time is not in it."""


class _Pair(NamedTuple):
    channel_id: str
    user_id: str


_PAIRS: Final = [
    _Pair(f"channel-{channel}", f"user-{user}") for user in range(_MEMBERS) for channel in range(_CHANNELS)
]


async def measure(options: CheckOptions) -> dict[str, dict[str, Cost]]:
    """The cost of a check, by store and way.

    Raises:
        BenchError: a server did not start, or one of the ways gave a wrong answer.
    """
    with workplace() as folder:
        return {name: await _measure_store(name, folder, options) for name in STORES}


async def _measure_store(name: str, folder: Path, options: CheckOptions) -> dict[str, Cost]:
    async with _opened(name, folder) as store:
        for channel in range(_CHANNELS):
            document = Channel(f"channel-{channel}", "c", private=False, created_by="user-0", created_at=timestamp())
            await store.create(document, [f"user-{user}" for user in range(_MEMBERS)], published=True)
        log = await EmbeddedLog.open(folder / f"{name}.log.db")
        try:
            async with following_memberships(log, store, _raise) as (cache, _):
                await _followed(cache)
                ways = {STORE: store.is_member, KEPT: cache.is_member, ASKING: MembershipCache(store).is_member}
                return await _in_turn(ways, max(1, options.checks // STORES[name]), options.rounds)
        finally:
            await log.close()


@asynccontextmanager
async def _opened(name: str, folder: Path) -> AsyncIterator[Memberships]:
    with _server(name, folder) as url:
        store = await (MongoMemberships.open(url) if url else SqliteMemberships.open(folder / "memberships.db"))
        try:
            yield store
        finally:
            await store.close()


@contextmanager
def _server(name: str, folder: Path) -> Iterator[str]:
    if name == "SQLite":
        yield ""
        return
    with running("ferretdb", folder) as server:
        yield f"mongodb://127.0.0.1:{server.port}/bench"


async def _followed(cache: MembershipCache) -> None:
    async with asyncio.timeout(_FOLLOWED_WITHIN_S):
        while not cache.is_current:  # noqa: ASYNC110 - it has no event of its own
            await asyncio.sleep(0.01)


def _raise(error: BaseException) -> None:
    raise error


async def _in_turn(ways: Mapping[str, Check], checks: int, rounds: int) -> dict[str, Cost]:
    """Each way answers every pair, and wrong ones, before the clock runs: what answers wrongly has no figure."""
    for name, check in ways.items():
        await _rehearse(name, check)
    taken: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, check in ways.items():
            taken[name].append(await _round(check, checks))
    return {
        name: Cost(min(each.clock for each in costs), min(each.processor for each in costs))
        for name, costs in taken.items()
    }


async def _rehearse(name: str, check: Check) -> None:
    right = [await check(*pair) for pair in _PAIRS]
    wrong = [await check(pair.channel_id, f"no-{pair.user_id}") for pair in _PAIRS]
    if not all(right) or any(wrong):
        raise BenchError(f"{name} gave a wrong answer")


async def _round(check: Check, checks: int) -> Cost:
    pairs = [_PAIRS[number % len(_PAIRS)] for number in range(checks)]
    processor, clock = time.process_time(), time.perf_counter()
    members = 0
    for channel_id, user_id in pairs:
        members += await check(channel_id, user_id)
    cost = Cost((time.perf_counter() - clock) / checks, (time.process_time() - processor) / checks)
    if members != checks:
        raise BenchError("a member was refused while the clock ran")
    return cost


def run_checks(options: CheckOptions) -> dict[str, dict[str, Cost]]:
    """`measure` on a loop of its own."""
    return asyncio.run(measure(options))
