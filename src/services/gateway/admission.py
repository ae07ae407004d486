"""Who may come in, and how often."""

import math
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from litestar.connection import ASGIConnection
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult
from litestar.types import ASGIApp

from fanout.ports.authenticator import Authenticator
from services.gateway.limiter import RateLimiter
from services.runtime.bearer import bearer
from services.runtime.problems import Problem


class Admission(AbstractAuthenticationMiddleware):
    """Sets the request's user from its token, or refuses it.

    Args:
        app: the next application.
        authenticator: verifies tokens.
        limiter: counts the user's calls.
    """

    def __init__(self, app: ASGIApp, authenticator: Authenticator, limiter: RateLimiter) -> None:
        super().__init__(app)
        self._authenticator = authenticator
        self._limiter = limiter

    async def authenticate_request(self, connection: ASGIConnection[Any, Any, Any, Any]) -> AuthenticationResult:
        """Verify the token, then take from the user's bucket.

        Raises:
            TokenRefused: the token is missing or worth nothing.
            Unavailable: it cannot be checked now.
            Problem: 429, the bucket is empty.
        """
        identity = await self._authenticator.verify(bearer(connection.headers.get("authorization")))
        wait = self._limiter.take(identity.user_id)
        if wait:
            retry_after = str(math.ceil(wait))
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                "rate_limited",
                "too many requests; wait as long as Retry-After says",
                {"Retry-After": retry_after},
            )
        return AuthenticationResult(user=identity.user_id, auth=identity)


def admission(authenticator: Authenticator, limiter: RateLimiter) -> Callable[[ASGIApp], ASGIApp]:
    """Middleware that admits by this authenticator and this limiter.

    A function, since Litestar copies a router with all that its middleware is made of, to the bottom: each copy of a
    limiter would count for itself.
    """

    def admit(app: ASGIApp) -> ASGIApp:
        return Admission(app, authenticator, limiter)

    return admit
