"""Memberships through the outages of MongoDB: refused, killed during calls, frozen, and back again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from fanout.errors import OutcomeUnknown, Unavailable
from fanout.events import MemberJoined, decode_member_event
from fanout.ports.memberships import Channel, Membership
from fanout.streams import META
from services.adapters.mongo.memberships import MongoMemberships
from services.command.membership_publisher import MembershipPublisher
from tests.support.faulty import faulty_log
from tests.support.reading import PATIENCE_S, soon, until
from tests.support.servers import MongoServer, free_port

CREATED = "2026-02-01T10:00:00.000Z"
LATER = "2026-02-01T11:00:00.000Z"
GENERAL = Channel("general", "General", private=False, created_by="alice", created_at=CREATED)
IMPATIENT_S = 0.5
"""Soon over where the server is frozen, and enough for one that is not."""


@pytest.fixture
async def store(mongo_server: MongoServer) -> AsyncIterator[MongoMemberships]:
    opened = await MongoMemberships.open(mongo_server.url)
    await opened.create(GENERAL, ["alice"], published=True)
    yield opened
    await opened.close()


def _calls(store: MongoMemberships, membership: Membership) -> list[Callable[[], Awaitable[object]]]:
    return [
        lambda: store.create(Channel("other", "Other", private=False, created_by="a", created_at=CREATED), ["alice"]),
        lambda: store.channel("general"),
        lambda: store.unfinished(10),
        lambda: store.resume_creation("general"),
        lambda: store.creation_published("general"),
        lambda: store.add("general", ["bob"], LATER),
        lambda: store.remove("general", "alice", LATER),
        lambda: store.membership("general", "alice"),
        lambda: store.is_member("general", "alice"),
        lambda: store.packed_channels_of("alice"),
        lambda: store.members_of("general"),
        lambda: store.unpublished(10),
        store.count_unpublished,
        lambda: store.renew([membership]),
        lambda: store.mark_published([membership]),
        lambda: store.changed_since(0, limit=10),
        lambda: store.prune(10),
        store.ping,
        store.deployment.existing_id,
        store.deployment.make_id,
    ]


async def _repeated(call: Callable[[], Awaitable[object]]) -> object:
    """What a client does that gets 503: it repeats the call."""
    while True:
        with suppress(Unavailable):
            return await call()
        await asyncio.sleep(0.02)


async def _answers(store: MongoMemberships) -> bool | None:
    try:
        await store.ping()
    except Unavailable:
        return None
    return True


async def test_a_server_that_is_not_there_is_unavailable_and_no_password_is_quoted() -> None:
    port = free_port()
    with pytest.raises(Unavailable, match=rf"at mongodb://127\.0\.0\.1:{port}/fanout: ") as caught:
        await MongoMemberships.open(f"mongodb://user:hunter2@127.0.0.1:{port}/fanout?authSource=hunter2")
    assert "hunter2" not in str(caught.value)


async def test_a_server_of_another_kind_is_unavailable(redis_url: str) -> None:
    address = redis_url.removeprefix("redis://")
    with pytest.raises(Unavailable, match=f"at mongodb://{address}: "):
        await MongoMemberships.open(f"mongodb://{address}")


async def test_while_the_server_is_away_nothing_is_done(store: MongoMemberships, mongo_server: MongoServer) -> None:
    membership = await store.membership("general", "alice")
    assert membership is not None
    mongo_server.kill()
    with suppress(Unavailable):
        await store.ping()  # a call that was sent over the lost connection has an unknown outcome; the next have not
    calls = [call() for call in _calls(store, membership)]
    results = await soon(asyncio.gather(*calls, return_exceptions=True))
    assert [type(result) for result in results] == [Unavailable] * len(calls)
    mongo_server.start()
    await until(lambda: _answers(store))
    assert await store.members_of("general") == ["alice"]
    assert await store.channel("other") is None


async def test_a_frozen_server_is_unavailable_within_the_deadline_and_back_after(mongo_server: MongoServer) -> None:
    store = await MongoMemberships.open(mongo_server.url)
    [membership] = await store.create(GENERAL, ["alice"])
    impatient = await MongoMemberships.open(mongo_server.url, timeout_s=IMPATIENT_S)
    mongo_server.pause()
    results = await soon(asyncio.gather(*(call() for call in _calls(impatient, membership)), return_exceptions=True))
    assert all(isinstance(result, Unavailable) for result in results), results
    mongo_server.resume()
    await until(lambda: _answers(impatient))
    # What was sent may be done once the server goes on: a repeat makes certain, and finds no second membership.
    added = await impatient.add("general", ["bob"], LATER)
    assert await store.add("general", ["bob"], CREATED) == added
    for opened in (impatient, store):
        await opened.close()


async def test_a_write_that_a_frozen_server_got_has_an_unknown_outcome(mongo_server: MongoServer) -> None:
    store = await MongoMemberships.open(mongo_server.url, timeout_s=IMPATIENT_S)
    [membership] = await store.create(GENERAL, ["alice"])
    mongo_server.pause()
    with pytest.raises(OutcomeUnknown):
        await store.mark_published([membership])
    mongo_server.resume()
    await store.close()


async def test_what_was_acknowledged_while_the_server_was_killed_again_and_again_is_there_and_published(
    store: MongoMemberships, mongo_server: MongoServer
) -> None:
    users = [f"user-{number}" for number in range(60)]
    done: set[str] = set()

    async def join_and_perhaps_leave(number: int, user: str) -> None:
        await asyncio.sleep(number * 0.01)
        await _repeated(lambda: store.add("general", [user], LATER))
        if number % 3 == 0:
            await _repeated(lambda: store.remove("general", user, LATER))
        done.add(user)

    changes = [asyncio.create_task(join_and_perhaps_leave(number, user)) for number, user in enumerate(users)]
    for share in (0.2, 0.5, 0.8):
        async with asyncio.timeout(PATIENCE_S):
            while len(done) < share * len(users):  # noqa: ASYNC110 - a store has no event for it
                await asyncio.sleep(0.005)
        await asyncio.to_thread(mongo_server.restart)
    await soon(asyncio.gather(*changes))
    staying = sorted(user for number, user in enumerate(users) if number % 3)
    assert await store.members_of("general") == sorted(["alice", *staying])
    await _all_are_published(store, users, staying)


async def _all_are_published(store: MongoMemberships, users: list[str], staying: list[str]) -> None:
    """The gateways that made the changes are gone; the sweep of another publishes the newest of each user."""
    async with faulty_log() as log:
        await MembershipPublisher(log, store).sweep()
        assert await store.count_unpublished() == 0
        stored = [await log.get(META, seq) for seq in range(1, len(users) + 1)]
    events = [decode_member_event(event.payload, "general") for event in stored if event is not None]
    assert sorted(event.user_id for event in events) == sorted(users)
    assert sorted(event.user_id for event in events if isinstance(event, MemberJoined)) == staying
