"""A replay has what was posted while the user was a member, and the changes of the user's own memberships are told."""

import asyncio

import pytest

from services.notification.catch_up import own_memberships
from tests.support.harness import Client, Harness
from tests.support.observing import until
from tests.support.resuming import leave, resumed


def membership_frames(client: Client) -> list[tuple[str, str]]:
    kinds = ("member.joined", "member.left")
    return [(frame["type"], frame["channel_id"]) for frame in client.frames if frame["type"] in kinds]


async def a_moment() -> None:
    await asyncio.sleep(0.01)  # so that what follows has a later time


async def test_changes_while_away_decide_what_is_replayed_and_are_told(harness: Harness) -> None:
    """Scenario 7."""
    await harness.create("P", "alice")
    await harness.create("Q", "bob")
    instance = await harness.add_instance("notif-1")
    point = await leave(await harness.connect(instance, "alice"))
    for channel in ("P", "Q"):
        await harness.say(channel, f"{channel} before")
    await a_moment()
    await harness.leave("P", "alice")
    await harness.join("Q", "alice")
    await a_moment()
    for channel in ("P", "Q"):
        await harness.say(channel, f"{channel} after")
    alice = await resumed(harness, instance, "alice", resume=point)
    assert alice.texts() == ["Q after"]
    assert sorted(membership_frames(alice)) == [("member.joined", "Q"), ("member.left", "P")]
    assert alice.frames[-1]["type"] == "catchup.complete"
    assert alice.frames[-1]["tier"] == 1


async def test_who_left_and_returned_gets_nothing_of_the_time_between(harness: Harness) -> None:
    await harness.create("P", "alice", "bob")
    instance = await harness.add_instance("notif-1")
    point = await leave(await harness.connect(instance, "alice"))
    for what in ("before", "between", "after"):
        await harness.say("P", what)
        await a_moment()
        if what == "before":
            await harness.leave("P", "alice")
        elif what == "between":
            await harness.join("P", "alice")
        await a_moment()
    alice = await resumed(harness, instance, "alice", resume=point)
    assert alice.texts() == ["before", "after"]
    assert membership_frames(alice) == [("member.joined", "P")]


async def test_changes_of_before_are_not_told_again(harness: Harness) -> None:
    await harness.create("P", "alice")
    await harness.create("Q", "bob")
    instance = await harness.add_instance("notif-1")
    alice = await harness.connect(instance, "alice")
    await harness.join("Q", "alice")
    await until(lambda: membership_frames(alice) == [("member.joined", "Q")], "live")
    point = await leave(alice)
    await harness.say("Q", "missed")
    back = await resumed(harness, instance, "alice", resume=point)
    assert back.texts() == ["missed"]


async def test_who_is_removed_during_a_replay_gets_no_more_of_the_channel(harness: Harness) -> None:
    await harness.create("P", "alice", "bob")
    await harness.create("R", "alice")
    instance = await harness.add_instance("notif-1")
    stays = await harness.connect(instance, "alice")
    point = await leave(await harness.connect(instance, "alice"))
    for number in range(600):
        await harness.say("P", str(number))
    await harness.say("R", "last")
    alice = Client("alice", resume=point)
    alice.reading = False
    harness.open(instance, alice)
    await until(lambda: alice.stalled > 60_000, "the replay has begun")
    await harness.leave("P", "alice")
    await until(lambda: bool(stays.of_type("member.left")), "applied")
    written = alice.stalled
    alice.read_on()
    await until(lambda: bool(alice.of_type("catchup.complete")), "complete")
    assert alice.texts()[-1] == "last"
    assert len(alice.texts()) < 600
    assert written < 100_000
    await until(lambda: ("member.left", "P") in membership_frames(alice), "told")


async def test_who_joins_during_a_replay_gets_what_is_posted_from_then_on(harness: Harness) -> None:
    await harness.create("P", "alice", "bob")
    await harness.create("Q", "bob")
    instance = await harness.add_instance("notif-1")
    stays = await harness.connect(instance, "alice")
    point = await leave(await harness.connect(instance, "alice"))
    for number in range(600):
        await harness.say("P", str(number))
    await harness.say("Q", "before")
    alice = Client("alice", resume=point)
    alice.reading = False
    harness.open(instance, alice)
    await until(lambda: alice.stalled > 60_000, "the replay has begun")
    await a_moment()
    await harness.join("Q", "alice")
    await until(lambda: bool(stays.of_type("member.joined")), "applied")
    await harness.say("Q", "after")
    alice.read_on()
    await until(lambda: alice.texts() == [*map(str, range(600)), "after"], "all came")
    assert ("member.joined", "Q") in membership_frames(alice)


async def test_where_too_many_memberships_changed_the_client_reads_everything_again(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_memberships, "MOST_CHANGES", 3)
    await harness.create("P", "alice")
    instance = await harness.add_instance("notif-1")
    point = await leave(await harness.connect(instance, "alice"))
    for number in range(4):
        await harness.join("P", f"user-{number}")
    for _ in range(2):
        alice = await resumed(harness, instance, "alice", resume=point)
        assert [frame["type"] for frame in alice.frames] == ["auth.ok", "full_refresh_required", "catchup.complete"]
