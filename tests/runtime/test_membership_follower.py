import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple, cast
from unittest.mock import patch

import pytest

from fanout.api.channels import ChannelRequest
from fanout.api.history import HistoryRequest
from fanout.api.messages import SendMessage
from fanout.api.threads import RepliesRequest
from fanout.error_codes import NOT_A_MEMBER
from fanout.errors import CallRejected
from fanout.events import encode, timestamp
from fanout.ids import new_message_id
from fanout.ports.log import Reset
from fanout.ports.memberships import Channel
from fanout.streams import MESSAGES, META
from fanout.subjects import member_left, message
from services.command.membership_publisher import MembershipPublisher
from services.command.service import CommandService
from services.query.service import QueryService
from services.runtime.health import Degraded
from services.runtime.membership_cache import MAX_LAG_S, MembershipCache
from services.runtime.membership_follower import SILENT_AFTER_S, MembershipFollower, following_memberships
from services.runtime.tasks import Tasks
from tests.support.faulty import (
    NO_FOLLOWERS,
    NO_MESSAGES,
    FaultyLog,
    FaultyMemberships,
    FaultyPresence,
    faulty_log,
    faulty_memberships,
    faulty_messages,
)
from tests.support.observing import eventually, until
from tests.support.stored import stored_message

ROOT = new_message_id()


def fail(error: BaseException) -> None:
    raise error


class World(NamedTuple):
    """A log, a store in which bob is a member of general, and two caches: each is of another gateway."""

    log: FaultyLog
    store: FaultyMemberships
    publisher: MembershipPublisher
    cache: MembershipCache
    follower: MembershipFollower

    async def keep(self) -> None:
        """Have the cache hold that bob is a member."""
        await until(lambda: self.cache.is_current, "followed")
        assert await self.cache.is_member("general", "bob")
        assert len(self.cache) == 1

    async def remove(self, *, publish: bool = True) -> None:
        ended = await self.store.remove("general", "bob", timestamp())
        assert ended is not None
        if publish:
            await self.publisher.publish([ended])


@asynccontextmanager
async def opened_world() -> AsyncIterator[World]:
    failures: list[BaseException] = []
    async with faulty_log() as log, faulty_memberships() as store:
        await store.create(Channel("general", "g", private=False, created_by="bob", created_at="t"), ["bob"])
        async with following_memberships(log, store, failures.append) as (cache, follower):
            yield World(log, store, MembershipPublisher(log, store), cache, follower)
    assert not failures


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with opened_world() as world:
        yield world


async def test_a_change_of_another_gateway_is_heard(world: World) -> None:
    await world.keep()
    await world.remove()
    await until(lambda: len(world.cache) == 0, "heard")
    assert not await world.cache.is_member("general", "bob")
    assert world.cache.is_current


async def test_what_was_published_before_is_not_read_again(world: World) -> None:
    await world.keep()
    async with following_memberships(world.log, world.store, fail) as (cache, _):
        await until(lambda: cache.is_current, "followed")
        assert await cache.is_member("general", "bob")


async def test_an_event_that_cannot_be_read_empties_the_cache(world: World) -> None:
    await world.keep()
    await world.log.append(member_left("general"), encode({"type": "unknown"}), msg_id="x")
    await until(lambda: len(world.cache) == 0, "cleared")
    await world.keep()


@pytest.mark.parametrize("fault", ["down", "blocked"])
async def test_without_the_log_the_store_is_asked_until_the_log_is_back(world: World, fault: str) -> None:
    await world.keep()
    setattr(world.log, fault, True)
    await until(lambda: not world.cache.is_current, "not followed")
    await world.remove(publish=False)
    assert not await world.cache.is_member("general", "bob")
    setattr(world.log, fault, False)
    await until(lambda: world.cache.is_current, "followed again")
    assert not await world.cache.is_member("general", "bob"), "its event is published later, by a sweep"


class Tail:
    """A reader that lags: it returns what it is given."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Any] = asyncio.Queue()

    async def fetch(self) -> Any:
        return await self.events.get()

    async def close(self) -> None:
        pass


class Lagging:
    """A log whose end is known and whose reader lags."""

    def __init__(self) -> None:
        self.end = 7
        self.reader = Tail()

    async def last_seq(self, stream: str) -> int:
        assert stream == META
        return self.end

    async def tail(self, stream: str, *, after: int) -> Tail:
        assert (stream, after) == (META, 7)
        return self.reader


async def test_a_reader_that_lags_proves_nothing() -> None:
    async with opened_world() as world, Tasks(fail) as tasks:
        lagging = Lagging()
        cache = MembershipCache(world.store)
        MembershipFollower(cast("Any", lagging), cache).start(tasks)
        await until(lambda: cache.is_current, "followed")
        await cache.is_member("general", "bob")
        lagging.end = 8
        await until(lambda: not cache.is_current, "not followed")
        await world.remove()
        [left] = (await world.log.stored(META))[-1:]
        await lagging.reader.events.put([left._replace(seq=8)])
        await until(lambda: cache.is_current, "followed again")
        assert len(cache) == 0


async def test_a_log_that_went_back_empties_the_cache_which_is_followed_again_though_nothing_comes() -> None:
    async with opened_world() as world, Tasks(fail) as tasks:
        lagging = Lagging()
        cache = MembershipCache(world.store)
        follower = MembershipFollower(cast("Any", lagging), cache)
        follower.start(tasks)
        await until(lambda: cache.is_current, "followed")
        await cache.is_member("general", "bob")
        follower.hear(Reset(MESSAGES, 0))
        assert len(cache) == 1
        lagging.end = 1_000_000  # where it begins again, though no event is there
        follower.hear(Reset(META, 0))
        assert (len(cache), cache.is_current) == (0, False)
        await until(lambda: cache.is_current, "followed again")


async def test_the_log_tells_of_a_reset(world: World) -> None:
    await world.keep()
    await world.log.recall(META, 1_000, 5)
    assert len(world.cache) == 0
    await world.keep()


async def test_a_long_silence_shows_in_the_health() -> None:
    now = 50.0
    lagging = Lagging()
    async with opened_world() as world:
        cache = MembershipCache(world.store, clock=lambda: now)
        follower = MembershipFollower(cast("Any", lagging), cache, lambda: now)
        await follower.check_ready()  # it has just begun
        now += SILENT_AFTER_S + 0.1
        with pytest.raises(Degraded):
            await follower.check_ready()
        async with Tasks(fail) as tasks:
            follower.start(tasks)
            await until(lambda: cache.is_current, "followed")
        await follower.check_ready()


async def test_nothing_is_used_after_the_end() -> None:
    async with faulty_log() as log, faulty_memberships() as store:
        await store.create(Channel("general", "g", private=False, created_by="bob", created_at="t"), ["bob"])
        async with following_memberships(log, store, fail) as (cache, _):
            await until(lambda: cache.is_current, "followed")
            assert await cache.is_member("general", "bob")
        assert (len(cache), cache.is_current) == (0, False)
    assert MAX_LAG_S < 1.0, "one second is promised"


class Held:
    """A store whose answers to checks are of the moment at which it was asked, and can be held on their way."""

    def __init__(self, store: FaultyMemberships) -> None:
        self._store = store
        self.held = 0
        self.arrive = asyncio.Event()
        self.arrive.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def is_member(self, channel_id: str, user_id: str) -> bool:
        answer = await self._store.is_member(channel_id, user_id)
        self.held += 1
        await self.arrive.wait()
        self.held -= 1
        return answer


class Gateway(NamedTuple):
    """The parts of a gateway that check memberships and change them."""

    cache: MembershipCache
    commands: CommandService
    queries: QueryService


@asynccontextmanager
async def two_gateways() -> AsyncIterator[tuple[Any, list[Gateway]]]:
    """Two gateways over one log and one store, in which alice has created general."""
    gateways = []
    async with faulty_log() as log, faulty_memberships() as memberships, faulty_messages() as messages:
        store: Any = Held(memberships)
        await store.create(Channel("general", "g", private=False, created_by="alice", created_at="t"), ["alice", "bob"])
        await log.append(message("general"), stored_message("general", message_id=ROOT), msg_id=ROOT)
        async with AsyncExitStack() as stack:
            for _ in range(2):
                cache, _ = await stack.enter_async_context(following_memberships(log, store, fail))
                await until(lambda cache=cache: cache.is_current, "followed")  # type: ignore[misc]
                queries = QueryService(log, cache, messages, FaultyPresence())
                gateways.append(Gateway(cache, CommandService(log, store, cache, NO_MESSAGES, NO_FOLLOWERS), queries))
            yield store, gateways


def calls_of_bob(gateway: Gateway) -> list[Coroutine[Any, Any, Any]]:
    return [
        gateway.commands.send_message("bob", SendMessage("general", "hello"), "c"),
        gateway.queries.history("bob", HistoryRequest("general")),
        gateway.commands.send_message("bob", SendMessage("general", "hello", thread_id=ROOT), "c"),
        gateway.queries.replies("bob", RepliesRequest(ROOT)),
    ]


async def test_answers_under_way_while_the_user_is_removed_by_another_gateway_let_nobody_in() -> None:
    async with two_gateways() as (store, [one, other]):
        store.arrive.clear()
        under_way = [asyncio.ensure_future(call) for call in calls_of_bob(one)]
        await until(lambda: store.held == len(under_way), "asked")
        heard = asyncio.Event()
        changed = one.cache.changed

        def hear(channel_id: str, user_id: str) -> None:
            changed(channel_id, user_id)
            heard.set()

        with patch.object(one.cache, "changed", hear):
            removal = asyncio.ensure_future(other.commands.leave("bob", ChannelRequest("general")))
            await removal
            await heard.wait()
        store.arrive.set()
        for call in [*under_way, *calls_of_bob(one), *calls_of_bob(other)]:
            with pytest.raises(CallRejected) as caught:
                await call
            assert caught.value.error_code == NOT_A_MEMBER
        assert len(one.cache) == 0


async def test_caches_agree_with_the_store_after_joins_beside_leaves() -> None:
    async with two_gateways() as (store, gateways):
        general = ChannelRequest("general")

        async def check(gateway: Gateway) -> None:
            for _ in range(200):
                await gateway.cache.is_member("general", "bob")
                await asyncio.sleep(0)

        changes = [
            change("bob", general)
            for number in range(50)
            for change in (gateways[number % 2].commands.join, gateways[number % 2 - 1].commands.leave)
        ]
        await asyncio.gather(*changes, *(check(gateway) for gateway in gateways))
        last = await store.membership("general", "bob")

        async def agree() -> bool:
            answers = [await gateway.cache.is_member("general", "bob") for gateway in gateways]
            return answers == [last.left_at is None] * 2

        await eventually(agree, 10.0)
        await gateways[0].commands.leave("bob", general)
        await eventually(lambda: refused(gateways[1]), 10.0)


async def refused(gateway: Gateway) -> bool:
    return not await gateway.cache.is_member("general", "bob")
