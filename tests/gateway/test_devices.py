"""The calls about devices, as a client makes them."""

from typing import Any

import httpx
import pytest

from fanout.ids import new_device_id
from fanout.ports.devices import Profile
from tests.gateway.conftest import World, problem


async def test_devices_are_registered_listed_and_removed(http: httpx.AsyncClient) -> None:
    phone = new_device_id("ios")
    fields = {"device_id": phone, "platform": "ios", "push_token": "abc", "capabilities": {"inline_reply": True}}
    response = await http.post("devices.register", json=fields)
    assert response.status_code == 200
    device = response.json()
    assert {name: device[name] for name in fields} == fields
    assert (await http.get("devices.list")).json() == {"devices": [device]}
    assert (await http.post("devices.remove", json={"device_id": phone})).json() == device
    assert (await http.get("devices.list")).json() == {"devices": []}


@pytest.mark.parametrize(
    "fields",
    [
        {"device_id": "dev_windows_01JD5T6Q9FZ0Y4W3V2B1N0M8K7"},
        {"platform": "windows"},
        {"platform": "android"},
        {"device_name": "x" * 129},
        {"app_version": "x" * 65},
        {"os_version": ""},
        {"push_token": "x" * 4_097},
        {"push_enabled": 1},
        {"capabilities": {f"c{number}": True for number in range(33)}},
        {"capabilities": {"inline_reply": "yes"}},
        {"user_id": "mallory"},
    ],
)
async def test_a_bad_field_of_a_device_is_400(http: httpx.AsyncClient, fields: dict[str, Any]) -> None:
    response = await http.post("devices.register", json={"device_id": new_device_id("ios"), **fields})
    assert problem(response) == (400, "invalid_request")


async def test_a_device_of_another_user_is_409_and_404(http: httpx.AsyncClient, world: World) -> None:
    phone = new_device_id("ios")
    await world.memberships.register_device("mallory", phone, Profile(), "2026-02-01T10:00:00.000Z")
    assert problem(await http.post("devices.register", json={"device_id": phone})) == (409, "device_taken")
    assert problem(await http.post("devices.remove", json={"device_id": phone})) == (404, "device_not_found")


async def test_devices_are_503_while_their_store_is_away(http: httpx.AsyncClient, world: World) -> None:
    world.memberships.down = True
    assert problem(await http.get("devices.list")) == (503, "unavailable")
