"""Authentication: which user a token belongs to."""

from dataclasses import dataclass
from typing import Protocol

from fanout.error_codes import TOKEN_ERRORS, ErrorCode
from fanout.errors import FanoutError


class TokenRefused(FanoutError):  # noqa: N818 - as the tree in `fanout.errors`
    """The token was refused. `code` says why.

    The text is the same for every token whose signature is not valid. For a token with a valid signature, it names the
    claim that is wrong.

    Args:
        code: one of `fanout.error_codes.TOKEN_ERRORS`.
        detail: what is wrong, for people. It is at most 100 bytes long and contains nothing secret.

    Attributes:
        code: as given.
        error_code: the code that a client gets.
    """

    error_code: ErrorCode
    public_text = True

    def __init__(self, code: str, detail: str = "the token is missing, not valid, or has expired") -> None:
        self.code = code
        self.error_code = TOKEN_ERRORS[code]
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class Identity:
    """The content of a valid token."""

    user_id: str
    expires_at: float
    """Unix time in seconds at which the token expires, with the allowance for clocks that differ added."""


class Authenticator(Protocol):
    """Verifies tokens."""

    async def verify(self, token: str) -> Identity:
        """Verify a token.

        Raises:
            TokenRefused: it is malformed, expired, signed by another key or algorithm, or names no user.
            Unavailable: the key to verify it with cannot be fetched now.
        """
        ...
