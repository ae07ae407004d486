"""A caller is known by the token; test_edge.py has what a client sees of it."""

import pytest

from fanout.api.calls import Caller
from fanout.ports.authenticator import TokenRefused
from services.gateway.callers import Callers
from services.gateway.limiter import RateLimiter
from services.runtime.problems import Problem
from tests.runtime.test_exchange import exchange
from tests.support.authenticator import StubAuthenticator


def callers(burst: int) -> Callers:
    return Callers(StubAuthenticator(), RateLimiter(0.5, burst, clock=lambda: 0.0))


async def test_the_caller_is_the_user_of_the_token() -> None:
    asked = exchange(headers=((b"authorization", b"Bearer user:alice"),))
    assert await callers(1).identify(asked) == Caller("alice", "corr-1")
    assert asked.user_id == "alice"


async def test_too_many_calls_are_refused_with_the_time_to_wait() -> None:
    asked, limited = exchange(headers=((b"authorization", b"Bearer user:alice"),)), callers(1)
    await limited.identify(asked)
    with pytest.raises(Problem) as caught:
        await limited.identify(asked)
    assert (caught.value.status, caught.value.headers) == (429, {"Retry-After": "2"})


async def test_a_call_without_a_token_counts_for_nobody() -> None:
    limited = callers(1)
    for _ in range(3):
        with pytest.raises(TokenRefused):
            await limited.identify(exchange())
    await limited.identify(exchange(headers=((b"authorization", b"Bearer user:alice"),)))
