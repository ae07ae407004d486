"""Authentication: whose token this is."""

from dataclasses import dataclass
from typing import Protocol

from fanout.errors import FanoutError


class TokenRefused(FanoutError):  # noqa: N818 - as the tree in `fanout.errors`
    """A token that proves nothing. `code` says why.

    The text is the same for all whose signature was not verified. For a token that its issuer did sign, it names what
    is wrong with a claim.

    Args:
        code: `token_missing`, `token_malformed`, `token_algorithm`, `token_key`, `token_signature`, `token_expired`,
            `token_audience`, `token_issuer`, `token_user` or `token_claims`.
        detail: what is wrong, for people; nothing secret, and at most 100 bytes.

    Attributes:
        code: as given.
    """

    def __init__(self, code: str, detail: str = "the token is missing, not valid, or has expired") -> None:
        self.code = code
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class Identity:
    """What a valid token proves."""

    user_id: str
    expires_at: float
    """Unix time, in seconds, from which on the token is worth nothing; what clocks may differ by is in it."""


class Authenticator(Protocol):
    """Verifies tokens."""

    async def verify(self, token: str) -> Identity:
        """Whose token it is.

        Raises:
            TokenRefused: it is malformed, expired, signed by another key or algorithm, or names no user.
            Unavailable: the key to check it with cannot be had now.
        """
        ...
