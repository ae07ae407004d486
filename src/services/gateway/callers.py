"""Identifies the user who makes a call, and limits the rate of each user."""

import math

from fanout.api.calls import Caller
from fanout.error_codes import RATE_LIMITED
from fanout.ports.authenticator import Authenticator
from services.gateway.limiter import RateLimiter
from services.runtime.bearer import bearer
from services.runtime.exchange import Exchange
from services.runtime.problems import Problem


class Callers:
    """Identifies callers by their tokens, and counts their calls.

    Args:
        authenticator: verifies tokens.
        limiter: counts the calls of each user.
    """

    def __init__(self, authenticator: Authenticator, limiter: RateLimiter) -> None:
        self._authenticator = authenticator
        self._limiter = limiter

    async def identify(self, exchange: Exchange) -> Caller:
        """Verify the token, then take a call from the bucket of its user, which the log will name.

        Raises:
            TokenRefused: the token is missing or not valid.
            Unavailable: the token cannot be checked now.
            Problem: the user makes too many calls.
        """
        identity = await self._authenticator.verify(bearer(exchange.header(b"authorization")))
        exchange.user_id = identity.user_id
        wait = self._limiter.take(identity.user_id)
        if wait:
            raise Problem(RATE_LIMITED, headers={"Retry-After": str(math.ceil(wait))})
        return Caller(identity.user_id, exchange.correlation_id)
