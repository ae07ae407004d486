"""Tokens whose signature was verified recently, so that the next call with the same token need not compute it again."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

MAX_TOKENS: Final = 10_000


class VerifiedToken(NamedTuple):
    """A token whose signature is valid."""

    algorithm: str
    key_id: str | None
    key: Any
    """The key that the signature was checked with."""
    claims: Mapping[str, Any]
    """The token's claims. Whether they still hold depends on the time, so the caller checks them each time."""


class VerifiedTokens:
    """Remembers the most recently used tokens by a digest; the tokens themselves are not kept.

    A signature is valid for one key alone: the caller compares the key that it would use now with the one that was
    used. A key that was replaced or withdrawn verifies nothing any more.

    Args:
        max_tokens: how many are remembered.
    """

    def __init__(self, max_tokens: int = MAX_TOKENS) -> None:
        self._max_tokens = max_tokens
        self._known: OrderedDict[bytes, VerifiedToken] = OrderedDict()

    def get(self, token: str) -> VerifiedToken | None:
        """The verification of a token; None if it is not remembered."""
        digest = _digest(token)
        known = self._known.get(digest)
        if known is not None:
            self._known.move_to_end(digest)
        return known

    def add(self, token: str, verified: VerifiedToken) -> None:
        """Remember a token. It replaces an earlier verification of the same token.

        Args:
            token: as it was sent.
            verified: its signature was checked.
        """
        digest = _digest(token)
        self._known[digest] = verified
        self._known.move_to_end(digest)
        if len(self._known) > self._max_tokens:
            self._known.popitem(last=False)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
