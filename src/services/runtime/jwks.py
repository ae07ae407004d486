"""The public keys of a token issuer, fetched by address and kept for a while."""

import asyncio
import json
import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, InvalidURL
from typing import Final

import jwt
from jwt.exceptions import PyJWTError

from fanout.errors import Unavailable
from fanout.ports.authenticator import TokenRefused

FETCH_TIMEOUT_S: Final = 5.0
MAX_AGE_S: Final = 600.0
"""How long a key is trusted without asking the issuer again: one that it withdrew is refused after that."""
REFRESH_INTERVAL_S: Final = 5.0
"""At most one request in this time, whatever key ids the tokens claim."""
MAX_BYTES: Final = 1024 * 1024


class KeySet:
    """The keys of one JWKS.

    Args:
        url: where it is.
        clock: monotonic seconds.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._keys: list[jwt.PyJWK] = []
        self._fetched = self._tried = float("-inf")
        self._refreshing = asyncio.Lock()

    async def key(self, key_id: str | None) -> jwt.PyJWK:
        """The key of that id; None is the only key of a set of one.

        Raises:
            TokenRefused: the issuer has no such key.
            Unavailable: the issuer cannot be asked now.
        """
        found = self._find(key_id)
        if found is None or self._expired():
            await self._refresh()
            found = self._find(key_id)
        if found is None:
            raise TokenRefused("token_key")
        return found

    async def ping(self) -> None:
        """Fetch the keys now, as a check of the address.

        Raises:
            Unavailable: the issuer cannot be asked now.
        """
        await self._refresh()

    def _find(self, key_id: str | None) -> jwt.PyJWK | None:
        if key_id is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.key_id == key_id), None)

    def _expired(self) -> bool:
        return self._clock() - self._fetched > MAX_AGE_S

    async def _refresh(self) -> None:
        async with self._refreshing:
            if self._clock() - self._tried > REFRESH_INTERVAL_S:
                self._tried = self._clock()
                self._keys = await asyncio.to_thread(self._fetch)
                self._fetched = self._clock()
            elif self._fetched < self._tried or self._expired():
                raise Unavailable("the issuer's keys could not be fetched a moment ago")

    def _fetch(self) -> list[jwt.PyJWK]:
        try:
            # The settings admit http and https alone, and no token chooses the address.
            with urllib.request.urlopen(self._url, timeout=FETCH_TIMEOUT_S) as response:  # noqa: S310 - see above
                document = json.loads(response.read(MAX_BYTES))
            return jwt.PyJWKSet.from_dict(document).keys
        except (OSError, HTTPException, ValueError, TypeError, AttributeError, PyJWTError) as error:
            # An invalid URL is quoted with its password; the rest says what the issuer did.
            why = "its address is not valid" if isinstance(error, InvalidURL) else error
            raise Unavailable(f"the issuer's keys cannot be fetched: {why}") from error
