"""Pending users: `settled` waits for those who were pending when it was called, and for no other."""

import asyncio

from services.fan_out.pending_users import PendingUsers
from tests.support.reading import soon


async def test_nobody_pending_is_settled_at_once() -> None:
    await soon(PendingUsers().settled())


async def test_a_user_is_pending_until_the_end() -> None:
    pending = PendingUsers()
    pending.begin("alice")
    assert "alice" in pending
    pending.end("alice")
    assert "alice" not in pending
    pending.end("alice")
    await soon(pending.settled())


async def test_the_last_user_is_waited_for() -> None:
    pending = PendingUsers()
    pending.begin("alice")
    settled = asyncio.create_task(pending.settled())
    for _ in range(3):
        await asyncio.sleep(0)
    assert not settled.done()
    pending.end("alice")
    await soon(settled)


async def test_only_earlier_users_are_waited_for() -> None:
    pending = PendingUsers()
    for user in ("alice", "bob"):
        pending.begin(user)
    settled = asyncio.create_task(pending.settled())
    await asyncio.sleep(0)
    pending.begin("carol")
    pending.end("bob")
    for _ in range(3):
        await asyncio.sleep(0)
    assert not settled.done()
    pending.end("alice")
    await soon(settled)
    assert "carol" in pending


async def test_one_who_becomes_pending_again_is_not_waited_for() -> None:
    pending = PendingUsers()
    pending.begin("alice")
    settled = asyncio.create_task(pending.settled())
    await asyncio.sleep(0)
    pending.end("alice")
    pending.begin("alice")
    await soon(settled)
