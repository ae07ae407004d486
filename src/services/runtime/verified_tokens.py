"""Tokens whose signature was verified recently, so that the next call with the same token need not compute it again."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

MAX_TOKENS: Final = 10_000
MAX_KEPT: Final = 1024
"""Bytes of a token's claims as JSON, its key's id included. A larger one is verified again each time: with those of
`MAX_TOKENS`, that bounds what is remembered to 10 MB of JSON, which Python holds in a few times as much."""


class VerifiedToken(NamedTuple):
    """A token whose signature is valid."""

    algorithm: str
    key_id: str | None
    key: Any
    """The key that the signature was checked with."""
    claims: Mapping[str, Any]
    """The claims that are checked. Whether they still hold depends on the time, so the caller checks them each time."""


class VerifiedTokens:
    """Remembers the most recently used tokens by a digest; the tokens themselves are not kept, nor large claims.

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
        """Remember a token, unless its claims are large. It replaces an earlier verification of the same token.

        Args:
            token: as it was sent.
            verified: its signature was checked. Of its claims the caller gives only those that it reads again.
        """
        digest = _digest(token)
        if not _is_small(verified):
            self._known.pop(digest, None)
            return
        self._known[digest] = verified
        self._known.move_to_end(digest)
        if len(self._known) > self._max_tokens:
            self._known.popitem(last=False)


def _is_small(verified: VerifiedToken) -> bool:
    try:
        return len(json.dumps([verified.key_id, verified.claims])) <= MAX_KEPT
    except (RecursionError, ValueError):  # the claims may be any JSON: nested as deep as its parser goes
        return False


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
