"""Writing documents of memberships: each change names the version that it replaces."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fanout.errors import ChannelNotFound
from fanout.ports.memberships import Channel
from services.adapters.mongo.membership_writer import MembershipWriter
from services.adapters.mongo.memberships import MongoMemberships
from tests.support.reading import PATIENCE_S

NOW = 1_770_000_000_000_000
CREATED, LATER = "2026-02-01T10:00:00.000Z", "2026-02-01T11:00:00.000Z"


@pytest.fixture
async def store(mongo_url: str) -> AsyncIterator[MongoMemberships]:
    opened = await MongoMemberships.open(mongo_url, clock=lambda: NOW, timeout_s=PATIENCE_S)
    await opened.create(Channel("general", "General", private=False, created_by="alice", created_at=CREATED), [])
    yield opened
    await opened.close()


@pytest.fixture
def writer(store: MongoMemberships) -> MembershipWriter:
    return store._writer


async def test_of_calls_at_the_same_time_one_admits_a_user(writer: MembershipWriter) -> None:
    answers = await asyncio.gather(*(writer.admit("general", ["bob", "carol"], LATER, readmit=True) for _ in range(20)))
    assert len({tuple(each.membership_id for each in members) for members in answers}) == 1
    assert [each.user_id for each in answers[0]] == ["bob", "carol"]


async def test_who_has_left_is_admitted_again_only_if_that_is_wanted(writer: MembershipWriter) -> None:
    [first] = await writer.admit("general", ["bob"], CREATED, readmit=True)
    ended = await writer.end("general", "bob", LATER)
    assert ended is not None
    assert await writer.admit("general", ["bob"], LATER, readmit=False) == [ended]
    [again] = await writer.admit("general", ["bob"], LATER, readmit=True)
    assert again.left_at is None
    assert again.membership_id != first.membership_id
    assert first.version < ended.version < again.version


async def test_a_channel_that_does_not_exist_admits_nobody(writer: MembershipWriter) -> None:
    with pytest.raises(ChannelNotFound):
        await writer.admit("nowhere", ["bob"], LATER, readmit=True)
    assert await writer.find("nowhere", "bob") is None


async def test_a_membership_ends_once(writer: MembershipWriter) -> None:
    assert await writer.end("general", "bob", LATER) is None
    await writer.admit("general", ["bob"], CREATED, readmit=True)
    ends = await asyncio.gather(*(writer.end("general", "bob", LATER) for _ in range(10)))
    assert len(set(ends)) == 1


async def test_a_change_that_was_published_gets_no_new_version(
    store: MongoMemberships, writer: MembershipWriter
) -> None:
    bob, carol = await writer.admit("general", ["bob", "carol"], LATER, readmit=True)
    await store.mark_published([bob])
    [renewed] = await writer.renew([bob, carol])
    assert (renewed.user_id, renewed.version > carol.version) == ("carol", True)
