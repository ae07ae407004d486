"""Authentication: the first frame, the token, and the code that a refused client is closed with."""

import asyncio
from typing import Any

import pytest

from fanout import Unavailable
from fanout.error_codes import TOKEN_ERRORS
from fanout.ports.authenticator import Identity, TokenRefused
from services.notification.authentication import Authentication
from services.notification.capacity import Capacity
from services.notification.refusals import Refused
from services.notification.registry import Registry
from tests.support.harness import Client


class Verifier:
    """Verifies any token but `forged`; cannot verify `any` while its keys are away."""

    async def verify(self, token: str) -> Identity:
        if token == "forged":
            raise TokenRefused(next(iter(TOKEN_ERRORS)))
        if token == "any":
            raise Unavailable("the keys are away")
        return Identity(token, 4e9)


def authentication(timeout_s: float = 60.0) -> Authentication:
    capacity = Capacity(Registry(), sockets=10, unauthenticated=10, of_one_user=10)
    return Authentication(Verifier(), capacity, timeout_s=timeout_s)


async def refusal(client: Client, timeout_s: float = 60.0) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        await authentication(timeout_s).authenticate(client)
    return caught.value.code, caught.value.cause


async def test_a_client_is_who_its_token_says() -> None:
    client = Client("alice")
    auth, identity = await authentication().authenticate(client)
    assert (auth.device_id, identity.user_id) == (client.device_id, "alice")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
async def test_the_token_may_come_in_the_header(scheme: str) -> None:
    client = Client("alice", silent=True)
    client.authorization = f"{scheme} alice"
    client.send("auth", device_id=client.device_id)
    assert (await authentication().authenticate(client))[1].user_id == "alice"


@pytest.mark.parametrize(
    ("token", "refused"), [("forged", (4401, "token")), ("any", (1013, "store"))], ids=["forged", "keys away"]
)
async def test_a_token_that_is_not_verified(token: str, refused: tuple[int, str]) -> None:
    assert await refusal(Client(token)) == refused


@pytest.mark.parametrize(
    ("frame", "refused"),
    [
        ({"kind": "ping"}, (4401, "token")),
        ({"kind": "auth"}, (4400, "malformed")),
        ({"kind": "no.such.type"}, (4400, "malformed")),
    ],
    ids=["another frame", "no device", "unknown"],
)
async def test_the_first_frame_must_be_auth(frame: dict[str, Any], refused: tuple[int, str]) -> None:
    client = Client("alice", silent=True)
    client.send(**frame)
    assert await refusal(client) == refused


async def test_a_client_that_says_nothing_in_time_is_refused() -> None:
    assert await refusal(Client("alice", silent=True), timeout_s=0.0) == (4401, "token")


async def test_a_client_that_must_make_room_is_refused_as_such() -> None:
    asked_to_go = asyncio.Event()

    class Crowded(Capacity):
        def silent(self, send_away: Any) -> Any:
            asyncio.get_running_loop().call_soon(send_away)
            asked_to_go.set()
            return super().silent(send_away)

    capacity = Crowded(Registry(), sockets=10, unauthenticated=10, of_one_user=10)
    with pytest.raises(Refused) as caught:
        await Authentication(Verifier(), capacity, timeout_s=60.0).authenticate(Client("alice", silent=True))
    assert (caught.value.code, caught.value.cause) == (1013, "unauthenticated")
    assert asked_to_go.is_set()
