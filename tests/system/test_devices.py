"""A stolen phone, through REST and the WebSocket of a running service."""

import pytest

from fanout.ids import new_device_id
from tests.support.clients import Caller, open_listener
from tests.support.cluster import Service

pytestmark = pytest.mark.system


async def test_a_stolen_phone_is_refused_until_it_is_registered(up: Service, caller: Caller) -> None:
    phone = new_device_id("ios")
    stolen = await open_listener(up.ws_url, "alice", device_id=phone)
    (device,) = (await caller.get("alice", "devices.list")).json()["devices"]
    assert (device["device_id"], device["last_ip"]) == (phone, "127.0.0.1")
    assert (await caller.post("alice", "devices.remove", device_id=phone)).status_code == 200
    assert await stolen.is_closed() == 4409
    again = await open_listener(up.ws_url, "alice", device_id=phone)
    assert await again.is_closed() == 4409
    assert (await caller.post("alice", "devices.register", device_id=phone)).status_code == 200
    back = await open_listener(up.ws_url, "alice", device_id=phone)
    assert back.of_type("auth.ok")
    for listener in (stolen, again, back):
        await listener.close()
