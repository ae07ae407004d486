"""Everything in one process, nothing but the command: what a newcomer runs."""

import pytest

from tests.support.clients import Caller, listening
from tests.support.cluster import Service
from tests.support.observing import eventually

pytestmark = pytest.mark.system


async def test_a_message_posted_by_one_reaches_the_others_and_the_store(up: Service, caller: Caller) -> None:
    await caller.create("alice", "general", "bob")
    async with listening(up.ws_url, "alice", "bob") as [alice, bob]:
        message_id = await caller.say("alice", "general", "hello")
        for listener in (alice, bob):
            frame = await listener.receives("message.new", channel_id="general")
            assert frame["message"]["message_id"] == message_id
            assert frame["message"]["text"] == "hello"
            assert frame["message"]["sender_id"] == "alice"
            assert frame["seq"] == 1
            assert frame["part"] == 0

    async def stored() -> bool:
        history = await caller.get("bob", "channels.history", channel="general")
        return [message["message_id"] for message in history.json()["messages"]] == [message_id]

    await eventually(stored, 30)


async def test_the_address_of_the_websocket_is_told(up: Service, caller: Caller) -> None:
    response = await caller.get("alice", "realtime.connect")
    assert response.json() == {"url": up.ws_url}


async def test_typing_is_shown_to_others_and_never_to_the_typist(up: Service, caller: Caller) -> None:
    await caller.create("alice", "general", "bob")
    async with listening(up.ws_url, "alice", "alice", "bob") as [phone, desktop, bob]:
        await phone.send("typing.start", channel_id="general")
        assert await bob.receives("typing", channel_id="general", user_id="alice", typing=True)
        await phone.send("typing.stop", channel_id="general")
        assert await bob.receives("typing", user_id="alice", typing=False)
        await caller.say("alice", "general", "done")
        await phone.receives("message.new")
        await desktop.receives("message.new")
        assert not phone.of_type("typing")
        assert not desktop.of_type("typing")
        assert len(bob.of_type("typing")) == 2


async def test_a_member_begins_and_ceases_to_get_messages_at_once(up: Service, caller: Caller) -> None:
    await caller.create("alice", "general")
    async with listening(up.ws_url, "alice", "carol") as [alice, carol]:
        await caller.say("alice", "general", "before")
        await alice.until(lambda: "before" in alice.texts())  # what is routed after she has joined may reach her
        assert (await caller.post("carol", "channels.join", channel="general")).status_code == 200
        for listener in (alice, carol):
            assert await listener.receives("member.joined", channel_id="general", user_id="carol")
        await caller.say("alice", "general", "between")
        await carol.until(lambda: "between" in carol.texts())
        assert (await caller.post("carol", "channels.leave", channel="general")).status_code == 200
        for listener in (alice, carol):
            assert await listener.receives("member.left", channel_id="general", user_id="carol")
        await caller.say("alice", "general", "after")
        await alice.until(lambda: "after" in alice.texts())
        assert carol.texts() == ["between"]
        assert alice.texts() == ["before", "between", "after"]


async def test_an_invited_member_enters_a_private_channel(up: Service, caller: Caller) -> None:
    await caller.create("alice", "secret", private=True)
    refused = [await caller.post("bob", "channels.join", channel=channel) for channel in ("secret", "no-such-channel")]
    assert [answer.status_code for answer in refused] == [404, 404]
    assert len({(answer.json()["code"], answer.json()["detail"]) for answer in refused}) == 1
    async with listening(up.ws_url, "bob") as [bob]:
        assert (await caller.post("alice", "channels.invite", channel="secret", user_ids=["bob"])).status_code == 200
        await bob.receives("member.joined", channel_id="secret", user_id="bob")
        await caller.say("alice", "secret", "welcome")
        await bob.until(lambda: bob.texts() == ["welcome"])
