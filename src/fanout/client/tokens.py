"""The token of a client, which may have to be renewed."""

import inspect
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from fanout.client.errors import TokenRefused

Token: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""A token, or what returns one: a function, or a coroutine function."""


class TokenSource:
    """Keeps a token until it is refused.

    Args:
        token: the token, or a function that makes one.
    """

    def __init__(self, token: Token) -> None:
        self._token = token if isinstance(token, str) else None
        self._make = None if isinstance(token, str) else token

    @property
    def renews(self) -> bool:
        """Whether another token can be had."""
        return self._make is not None

    async def get(self, *, renew: bool) -> str:
        """The token.

        Args:
            renew: whether the last one was refused.

        Raises:
            TokenRefused: it has characters that no token has.
        """
        if self._make is not None and (renew or self._token is None):
            made = self._make()
            self._token = await made if inspect.isawaitable(made) else made
        token = self._token or ""
        if not token.isascii() or not token.isprintable():
            raise TokenRefused("the token is not valid: it has characters that no token has")
        return token
