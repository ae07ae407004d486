"""Authentication: whose token this is."""

from dataclasses import dataclass
from typing import Protocol

from fanout.errors import FanoutError


class TokenRefused(FanoutError):  # noqa: N818 - as the tree in `fanout.errors`
    """A token that proves nothing. The refusal is the same for all; `code` says why.

    Attributes:
        code: `token_missing`, `token_malformed`, `token_algorithm`, `token_key`, `token_signature`,
            `token_expired` or `token_claims`.
    """

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__("the token is missing, not valid, or has expired")


@dataclass(frozen=True, slots=True)
class Identity:
    """What a valid token proves."""

    user_id: str
    expires_at: float
    """Unix time, in seconds, from which on the token is worth nothing."""


class Authenticator(Protocol):
    """Verifies tokens."""

    async def verify(self, token: str) -> Identity:
        """Whose token it is.

        Raises:
            TokenRefused: it is malformed, expired, signed by another key or algorithm, or names no user.
            Unavailable: the key to check it with cannot be had now.
        """
        ...
