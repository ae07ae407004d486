"""The public keys of a token issuer, fetched by address and kept.

A key is trusted for `MAX_AGE_S` without asking the issuer again. While the issuer is away, the known keys
continue to verify, and the health check says `degraded`: an outage of the issuer must not become one of the platform. A
key that the issuer has withdrawn is refused as soon as it answers again.
"""

import asyncio
import json
import ssl
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import httpx
import jwt
import structlog

from fanout import machine
from fanout.errors import Unavailable
from fanout.ports.authenticator import TokenRefused
from services.runtime.certificates import untrusted
from services.runtime.health import Degraded

FETCH_TIMEOUT_S: Final = 5.0
"""For the whole of a fetch, however slowly the issuer answers."""
MAX_AGE_S: Final = 600.0
"""How long a key is trusted without asking the issuer again: one that it withdrew is refused after that."""
REFRESH_INTERVAL_S: Final = 5.0
"""At most one request in this time, whatever key ids the tokens claim."""
CHECK_INTERVAL_S: Final = 10.0
"""How often the health check asks the issuer."""
CHECK_WITHIN_S: Final = 1.0
"""How long the health check waits for an answer."""
MAX_BYTES: Final = 1024 * 1024
KINDS: Final = frozenset({"RSA", "EC", "OKP"})
"""The types of public keys. A secret that an issuer publishes by mistake verifies nothing."""

log = structlog.get_logger(__name__)


class VerificationKey(NamedTuple):
    """A key that signatures are verified with."""

    key_id: object
    kind: str
    """`RSA`, `EC` or `OKP`."""
    algorithm: object
    """The only one that the issuer uses it with; None: any of its kind."""
    material: Any


class KeySet:
    """The keys of one JWKS.

    Args:
        url: where it is.
        clock: monotonic seconds.
    """

    def __init__(self, url: str, clock: Callable[[], float] = machine.monotonic_s) -> None:
        self._url = url
        self._clock = clock
        self._keys: list[VerificationKey] = []
        self._fetched = self._tried = float("-inf")
        self._failure: Unavailable | None = None
        """The error of the last fetch that ended; None if it succeeded."""
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, key_id: str | None) -> VerificationKey:
        """The key of that id; None is the only key of a set of one.

        Raises:
            TokenRefused: the issuer has no such key.
            Unavailable: no such key is known, and the issuer cannot be asked now.
        """
        found = self._find(key_id)
        if found is None or self._age() > MAX_AGE_S:
            try:
                await self._refresh(patient=found is None)
            except Unavailable:
                if self._find(key_id) is None:
                    raise
            found = self._find(key_id)
        if found is None:
            raise TokenRefused("token_key")
        return found

    async def ping(self) -> None:
        """Fetch the keys now, as a check of the address.

        Raises:
            Unavailable: the issuer cannot be asked now.
        """
        await self._refresh(patient=True)

    async def check(self) -> None:
        """Return when there are keys and the issuer answers, as a check of health. It waits `CHECK_WITHIN_S` at most.

        Raises:
            Unavailable: there are no keys.
            Degraded: there are keys, and the issuer is away.
        """
        if self._clock() - self._tried > CHECK_INTERVAL_S:
            self._fetch_soon()
        if self._fetching is not None:
            await asyncio.wait({self._fetching}, timeout=CHECK_WITHIN_S)
        if not self._keys:
            raise self._failure or Unavailable("the issuer's keys are not here yet")
        if self._failure is not None or self._fetching is not None:
            raise Degraded(f"the issuer is away; its keys of {self._age():.0f} s ago are used")

    def _find(self, key_id: str | None) -> VerificationKey | None:
        if key_id is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.key_id == key_id), None)

    def _age(self) -> float:
        return self._clock() - self._fetched

    async def _refresh(self, *, patient: bool) -> None:
        """Ask the issuer, unless it was asked a moment ago; raise the error of the last request.

        Args:
            patient: whether to wait for a fetch under way though the last one failed.
        """
        if self._fetching is None and self._clock() - self._tried > REFRESH_INTERVAL_S:
            await asyncio.shield(self._fetch_soon())
        elif self._fetching is not None and (patient or self._failure is None):
            await asyncio.shield(self._fetching)
        if self._failure is not None:
            raise self._failure

    def _fetch_soon(self) -> "asyncio.Task[None]":
        """One fetch for all callers that wait, which none of them cancels."""
        if self._fetching is None:
            self._tried = self._clock()
            self._fetching = asyncio.create_task(self._fetch(), name="fetching the issuer's keys")
        return self._fetching

    async def _fetch(self) -> None:
        was_away = self._failure is not None
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_S):
                self._keys = await asyncio.to_thread(_keys_of, await self._document())
            self._fetched = self._clock()
            self._failure = None if self._keys else Unavailable("the issuer has no key to verify signatures with")
        except TimeoutError:
            self._failure = Unavailable(f"the issuer's keys cannot be fetched: no answer within {FETCH_TIMEOUT_S:g} s")
        except Exception as error:  # noqa: BLE001 - see below
            # An issuer may answer anything, and every failure means the same here: there are no new keys.
            self._failure = Unavailable(f"the issuer's keys cannot be fetched: {_why(error)}")
            self._failure.__cause__ = error
        finally:
            self._fetching = None
        if self._failure is not None and not was_away:
            log.warning("the issuer of tokens is away", reason=str(self._failure), keys=len(self._keys))
        elif was_away and self._failure is None:
            log.info("the issuer of tokens is back", keys=len(self._keys))

    async def _document(self) -> bytes:
        # The settings admit http and https alone, and no token chooses the address.
        plain = {"Accept-Encoding": "identity"}  # so that few bytes cannot become many
        trusted = await asyncio.to_thread(ssl.create_default_context)  # the machine's, not those of the library
        client = httpx.AsyncClient(verify=trusted, timeout=FETCH_TIMEOUT_S, follow_redirects=True, headers=plain)
        async with client, client.stream("GET", self._url) as response:
            if not response.is_success:
                raise Unavailable(f"it answers {response.status_code}")
            document = b""
            async for part in response.aiter_raw():
                document += part
                if len(document) > MAX_BYTES:
                    raise Unavailable(f"it answers more than {MAX_BYTES} bytes")
            return document


def _keys_of(document: bytes) -> list[VerificationKey]:
    """The keys of a JWKS that signatures may be verified with. Those that this program cannot use are skipped."""
    described = json.loads(document)["keys"]
    if not isinstance(described, list):
        raise TypeError("keys is no list")
    return [key for one in described if _is_for_signatures(one) and (key := _key(one)) is not None]


def _is_for_signatures(described: Any) -> bool:
    if not isinstance(described, dict) or described.get("use", "sig") != "sig":
        return False
    operations = described.get("key_ops", ["verify"])
    return isinstance(operations, list) and "verify" in operations


def _key(described: dict[str, Any]) -> VerificationKey | None:
    try:
        key = jwt.PyJWK(described)
    except Exception as error:  # noqa: BLE001 - as varied as the keys of this world
        log.debug("a key of the issuer cannot be used", error=type(error).__name__)
        return None
    if key.key_type not in KINDS:
        return None
    return VerificationKey(described.get("kid"), str(key.key_type), described.get("alg"), key.key)


def _why(error: Exception) -> str:
    if isinstance(error, Unavailable):
        return str(error)
    # An invalid URL is quoted with its password.
    if isinstance(error, httpx.InvalidURL):
        return "its address is not valid"
    return untrusted(error) or f"{type(error).__name__}: {error}"
