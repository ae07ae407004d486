"""A change published after a newer one, as by a sweep for a gateway that died, changes nothing on an instance."""

import asyncio

import pytest

from fanout.events import timestamp
from tests.support.harness import Harness
from tests.support.observing import until


@pytest.mark.parametrize("way", ["live", "from the log"])
@pytest.mark.parametrize("came", ["before", "after"])
async def test_who_has_left_gets_nothing_though_the_join_is_published_last(
    harness: Harness, way: str, came: str
) -> None:
    """Whether the instance has seen that bob left, or has only loaded a list without the channel."""
    await harness.create("general", "alice")
    instance = await harness.add_instance("notif-1")
    alice = await harness.connect(instance, "alice")
    bob = await harness.connect(instance, "bob") if came == "before" else None
    joined = await harness.memberships.add("general", ["bob"], timestamp())
    await harness.leave("general", "bob")
    await until(lambda: len(alice.of_type("member.left")) == 1)
    bob = bob or await harness.connect(instance, "bob")
    if way == "from the log":
        harness.bus.prefix, harness.bus.share = "instance.events.", 1.0
        await harness.say("general", "lost")
    await harness._publisher._publish_and_mark(joined)
    await until(lambda: harness.workers[0]._members.position == 2, "the worker has read both")
    await asyncio.sleep(0.05)
    harness.bus.share = 0.0
    await harness.say("general", "after")
    await until(lambda: alice.texts()[-1:] == ["after"])
    assert bob.texts() == []
    assert alice.of_type("member.joined") == []
    assert harness.workers[0]._engine.channels("bob") == frozenset()
    assert not instance.registry.is_member("bob", "general")


async def test_who_has_come_back_gets_all_though_the_leave_is_published_last(harness: Harness) -> None:
    await harness.create("general", "alice", "bob")
    instance = await harness.add_instance("notif-1")
    alice, bob = [await harness.connect(instance, user) for user in ("alice", "bob")]
    ended = await harness.memberships.remove("general", "bob", timestamp())
    assert ended is not None
    await harness.join("general", "bob")
    await harness._publisher._publish_and_mark([ended])
    await until(lambda: harness.workers[0]._members.position == 2, "the worker has read both")
    await harness.say("general", "after")
    await until(lambda: bool(alice.texts()) and bool(bob.texts()))
    assert alice.of_type("member.left") == []
