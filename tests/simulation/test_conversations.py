import asyncio
from typing import Any

import pytest

from tests.simulation.people import People
from tests.simulation.plan import Action
from tests.simulation.world import World
from tests.support.simulated import in_world


def of(world: World, kind: str) -> list[dict[str, Any]]:
    return [entry.about for entry in world.history.of(kind)]


async def told(world: World) -> tuple[list[Any], dict[str, Any]]:
    """What Ann is told of room1, and of everything."""
    people = People(world)
    await people.conversations.list_channels("ann", at_rest=True)
    await people.conversations.count_unread("ann")
    (channel,) = of(world, "lists")[-1]["channels"]
    return channel, of(world, "counts")[-1]


def test_users_reply_to_messages_of_the_channel_and_read_threads() -> None:
    async def work(world: World) -> None:
        people = People(world)
        await people.act(Action(0.0, "reply", "bob", "room1"))
        assert of(world, "posts") == []
        await people.post("bob", "room1")
        await people.act(Action(0.0, "reply", "ann", "room1", also=True))
        await people.act(Action(0.0, "reply", "bob", "room1", mentions=["ann"]))
        replies = of(world, "posts")[1:]
        assert [(reply["to"], reply["also"], reply["astray"]) for reply in replies] == [
            ("m1", True, False),
            ("m1", False, False),
        ]
        assert replies[1]["mentions"] == ["ann"]
        await asyncio.sleep(3.0)
        await people.act(Action(0.0, "read thread", "ann", "room1"))
        (thread,) = of(world, "thread")
        assert thread["replies"] == [[2, "m2"], [3, "m3"]]
        assert (thread["thread"], thread["counts"][-1], thread["upto"], thread["at_rest"]) == ("m1", 2, 3, False)
        channel, counts = await told(world)
        assert channel[:2] == ["room1", 1]
        assert (counts["channels"], counts["total"], counts["mentions"]) == ({"room1": 1}, 1, 1)

    in_world(work)


def test_who_is_no_member_is_refused_a_thread() -> None:
    async def work(world: World) -> None:
        people = People(world)
        await people.post("bob", "room1")
        await people.act(Action(0.0, "reply", "ann", "room1"))
        await people.act(Action(0.0, "read thread", "eve", "room1"))
        (refused,) = of(world, "refused thread")
        assert (refused["user"], refused["thread"], refused["status"]) == ("eve", "m1", 403)
        assert of(world, "thread") == []

    in_world(work)


@pytest.mark.parametrize("what", ["reply elsewhere", "reply to a reply"])
def test_replies_that_go_astray_are_refused(what: str) -> None:
    async def work(world: World) -> None:
        people = People(world)
        await people.act(Action(0.0, "create", "bob", "new1", "ann"))
        await people.post("bob", "new1")
        await people.post("bob", "room1")
        await people.act(Action(0.0, "reply", "bob", "room1"))
        await people.act(Action(0.0, what, "bob", "room1"))
        reply = of(world, "posts")[-1]
        assert (reply["to"], reply["astray"]) == ("m1" if what == "reply elsewhere" else "m3", True)
        assert of(world, "not accepted") == [{"user": "bob", "message": "m4", "status": 404}]

    in_world(work)


def test_a_device_marks_what_it_knows_as_read() -> None:
    async def work(world: World) -> None:
        people = People(world)
        await people.act(Action(0.0, "mark", "ann-phone", "room1"))
        await people.act(Action(0.0, "connect", "ann-phone"))
        await asyncio.sleep(3.0)
        for _ in range(4):
            await people.post("bob", "room1")
        await asyncio.sleep(1.0)
        await people.act(Action(0.0, "mark", "ann-phone", "room1", nth=1))
        await people.act(Action(0.0, "mark elsewhere", "ann-phone", "room1"))
        (mark,) = of(world, "marks read")
        about = {"device": "ann-phone", "user": "ann", "session": 1, "channel": "room1", "elsewhere": False}
        assert mark == about | {"message": "m3", "seq": 3, "message_id": mark["message_id"]}
        await asyncio.sleep(1.0)
        channel, counts = await told(world)
        assert (channel[1], channel[2], counts["total"]) == (1, mark["message_id"], 1)

    in_world(work)


def test_a_mark_of_another_channel_is_refused() -> None:
    async def work(world: World) -> None:
        people = People(world)
        await people.act(Action(0.0, "connect", "ann-phone"))
        await people.act(Action(0.0, "create", "bob", "new1", "ann"))
        await asyncio.sleep(3.0)
        await people.post("bob", "new1")
        await asyncio.sleep(1.0)
        await people.act(Action(0.0, "mark elsewhere", "ann-phone", "room1"))
        await asyncio.sleep(1.0)
        assert [mark["elsewhere"] for mark in of(world, "marks read")] == [True]
        errors = [about["frame"] for about in of(world, "frame") if about["frame"]["type"] == "error"]
        assert [(error["offending_type"], error["code"]) for error in errors] == [
            ("mark_read", "unknown_message"),
            ("message.read", "unknown_message"),
        ]

    in_world(work)


def test_a_list_of_many_channels_is_read_to_its_end() -> None:
    async def work(world: World) -> None:
        people = People(world)
        for number in range(1, 6):
            await people.act(Action(0.0, "create", "ann", f"new{number}", "bob"))
        for _ in range(4):  # in pages of different lengths
            await people.act(Action(0.0, "list", "ann"))
        for listed in of(world, "lists"):
            assert [channel for channel, *_ in listed["channels"]] == [*(f"new{n}" for n in range(1, 6)), "room1"]
            assert not listed["at_rest"]

    in_world(work)


def test_calls_that_are_never_answered_say_nothing() -> None:
    async def work(world: World) -> None:
        people = People(world)
        await people.post("bob", "room1")
        await people.act(Action(0.0, "reply", "ann", "room1"))
        world.processes["gateway1"].kill()
        await people.act(Action(0.0, "read thread", "ann", "room1"))
        await people.act(Action(0.0, "list", "ann"))
        await people.conversations.count_unread("ann")
        assert not world.history.of("thread", "refused thread", "lists", "counts")

    in_world(work)
