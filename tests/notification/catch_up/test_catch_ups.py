"""From `auth.ok` to a live session: of clients that are new, and of those that were away."""

from typing import Any

import pytest

from fanout import Unavailable
from services.notification.metrics import CATCH_UPS
from tests.support.harness import Client, Harness
from tests.support.observing import until


async def complete(harness: Harness, client: Client) -> dict[str, Any]:
    await until(lambda: bool(client.of_type("catchup.complete")), "caught up")
    return client.of_type("catchup.complete")[0]


async def heartbeat(client: Client) -> int:
    known = len(client.of_type("heartbeat.ok"))
    client.send("heartbeat")
    await until(lambda: len(client.of_type("heartbeat.ok")) > known, "answered")
    return int(client.of_type("heartbeat.ok")[-1]["seq"])


async def test_a_new_client_is_told_the_point_from_which_it_gets_everything(harness: Harness) -> None:
    await harness.create("general", "alice")
    instance = await harness.add_instance("notif-1")
    before = [await harness.say("general", str(number)) for number in range(3)]
    alice = await harness.connect(instance, "alice")
    welcome = alice.of_type("auth.ok")[0]
    assert (welcome["seq"], welcome["parts"]) == (before[-1], {})
    assert welcome["log"] == harness.log.numbering("MESSAGES").identity
    assert welcome["reconnect_after_ms"] == 250
    assert await heartbeat(alice) == before[-1]
    await harness.say("general", "after")
    await until(lambda: alice.texts() == ["after"], "live")
    assert [frame["type"] for frame in alice.frames] == ["auth.ok", "heartbeat.ok", "message.new"]


@pytest.mark.parametrize("resume", [{"seq": 0, "log": "another"}, {"seq": 1_000}, {"seq": 0, "parts": {"9": 0}}])
async def test_a_client_whose_point_is_not_of_this_log_reads_everything_again(
    harness: Harness, resume: dict[str, Any]
) -> None:
    await harness.create("general", "alice")
    instance = await harness.add_instance("notif-1")
    end = await harness.say("general", "missed")
    counted = CATCH_UPS.labels("4", "point")._value.get()
    alice = await harness.connect(instance, "alice", resume=resume)
    assert await complete(harness, alice) == {"type": "catchup.complete", "tier": 4, "last_event_seq": end}
    assert [frame["type"] for frame in alice.frames] == ["auth.ok", "full_refresh_required", "catchup.complete"]
    assert alice.frames[0]["seq"] == 0
    assert CATCH_UPS.labels("4", "point")._value.get() == counted + 1
    assert await heartbeat(alice) == end
    await harness.say("general", "after")
    await until(lambda: alice.texts() == ["after"], "live")


@pytest.mark.parametrize("away", [{"resume": {"seq": 0}}, {}])
async def test_a_log_that_is_away_sends_the_client_away(
    harness: Harness, away: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    await harness.create("general", "alice", "bob")
    instance = await harness.add_instance("notif-1")
    await harness.connect(instance, "bob")

    async def fail(_stream: str) -> int:
        raise Unavailable("away")

    monkeypatch.setattr(harness.log, "last_seq", fail)
    alice = await harness.connect(instance, "alice", **away)
    assert alice.close_code == 1013
    assert "retry_after_ms=" in alice.close_reason
