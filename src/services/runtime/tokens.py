"""Tokens: verified at every edge, signed for small clients, and the secret of an embedded installation."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import jwt
from jwt import exceptions as wrong

from fanout import machine
from fanout.ids import check_id
from fanout.ports.authenticator import Identity, TokenRefused
from services.runtime.claims import DEFAULT_USER_CLAIM, Expected, identity_of
from services.runtime.data_dir import make_data_dir
from services.runtime.jwks import KeySet
from services.runtime.settings import (
    ANY,
    PUBLIC_KEY_ALGORITHMS,
    SHARED_SECRET_ALGORITHMS,
    ConfigurationError,
    Settings,
)
from services.runtime.verified_tokens import VerifiedToken, VerifiedTokens

MAX_TOKEN: Final = 8192
SECRET_FILE: Final = "jwt-secret"  # noqa: S105 - a file's name
"""In the data directory of an embedded installation."""

_HMAC_BLOCK: Final = 64
_KEY_TYPES: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}

# The first that matches names the refusal: subclasses stand before what they derive from.
_CODES: Final[tuple[tuple[type[wrong.PyJWTError], str], ...]] = (
    (wrong.InvalidSignatureError, "token_signature"),
    (wrong.InvalidAlgorithmError, "token_algorithm"),
    (wrong.InvalidKeyError, "token_key"),
    (wrong.DecodeError, "token_malformed"),
)
_SIGNATURE_ALONE: Final[Any] = {f"verify_{what}": False for what in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}
"""`identity_of` checks the claims; it takes any JSON."""


class TokenVerifier:
    """An `Authenticator` by JSON Web Tokens. The algorithms are the configured ones, whatever a token says.

    Args:
        algorithms: those allowed.
        secret: verifies HS256 and similar algorithms.
        keys: verify the asymmetric algorithms.
        expected: the claims that a token must have.
        clock: Unix time in seconds.

    Raises:
        ConfigurationError: an algorithm is allowed for which there is no key.
    """

    def __init__(
        self,
        algorithms: tuple[str, ...],
        *,
        secret: str | None = None,
        keys: KeySet | None = None,
        expected: Expected = Expected(),  # noqa: B008 - it cannot be changed
        clock: Callable[[], float] = machine.wall_s,
    ) -> None:
        if secret is None and SHARED_SECRET_ALGORITHMS.intersection(algorithms):
            raise ConfigurationError(["FANOUT_JWT_SECRET: set the secret that the tokens are signed with"])
        if keys is None and PUBLIC_KEY_ALGORITHMS.intersection(algorithms):
            raise ConfigurationError(["FANOUT_JWKS_URL: set the address of the issuer's keys"])
        self._algorithms = frozenset(algorithms)
        self._secret = _padded(secret) if secret is not None else b""
        self._keys = keys
        self._expected = expected
        self._clock = clock
        self._verified = VerifiedTokens()

    async def verify(self, token: str) -> Identity:
        """Verify a token; see `Authenticator.verify`."""
        if not token:
            raise TokenRefused("token_missing")
        known = self._verified.get(token)
        algorithm, key_id = (known.algorithm, known.key_id) if known else _header(token)
        if algorithm not in self._algorithms:
            raise TokenRefused("token_algorithm")
        key = await self._key(algorithm, key_id)
        if known is None or known.key is not key:
            claims = self._expected.read(_claims(token, key, algorithm))
            known = VerifiedToken(algorithm, key_id, key, claims)
            self._verified.add(token, known)
        return identity_of(known.claims, self._expected, self._clock())

    async def ping(self) -> None:
        """Fetch the issuer's keys now; return at once where a secret is all there is.

        Raises:
            Unavailable: they cannot be fetched now.
        """
        if self._keys is not None:
            await self._keys.ping()

    async def check(self) -> None:
        """Return when tokens can be verified, as a check of health.

        Raises:
            Unavailable: there are no keys to verify them with.
            Degraded: there are, but their issuer is away.
        """
        if self._keys is not None:
            await self._keys.check()

    async def _key(self, algorithm: str, key_id: str | None) -> Any:
        # A secret and a public key never stand in for each other: that would make a public key the secret.
        if algorithm in SHARED_SECRET_ALGORITHMS or self._keys is None:
            return self._secret
        key = await self._keys.key(key_id)
        if key.kind != _KEY_TYPES[algorithm[:2]] or key.algorithm not in {None, algorithm}:
            raise TokenRefused("token_key")
        return key.material


def verifier(settings: Settings, secret: str | None = None) -> TokenVerifier:
    """The verifier that the settings ask for.

    Args:
        settings: the algorithms, the secret and the JWKS.
        secret: taken where the settings name none: that of an embedded installation.

    Raises:
        ConfigurationError: an algorithm is allowed for which there is no key.
    """
    if settings.jwt_secret is not None:
        secret = settings.jwt_secret.get_secret_value()
    keys = KeySet(settings.jwks_url) if settings.jwks_url else None
    return TokenVerifier(settings.jwt_algorithms, secret=secret, keys=keys, expected=expected(settings))


def expected(settings: Settings) -> Expected:
    """The claims that tokens must have, by the settings: with `any` the audience or the issuer is not checked."""
    audience, issuer = (
        None if value == ANY else value or None for value in (settings.jwt_audience, settings.jwt_issuer)
    )
    return Expected(audience, issuer, settings.jwt_user_claim)


def sign(
    secret: str,
    user_id: str,
    ttl: float,
    clock: Callable[[], float] = machine.wall_s,
    says: Expected = Expected(),  # noqa: B008 - it cannot be changed
) -> str:
    """A token, signed with HS256.

    Args:
        secret: the shared secret.
        user_id: whose token.
        ttl: seconds until it expires.
        clock: Unix time in seconds.
        says: the audience, issuer and user claim that it gets.

    Raises:
        InvalidId: `user_id` is no id.
    """
    now = int(clock())
    origin = {name: value for name, value in (("aud", says.audience), ("iss", says.issuer)) if value}
    claims = {says.user_claim: check_id(user_id, "user_id"), "iat": now, "exp": now + int(ttl), **origin}
    return jwt.encode(claims, _padded(secret), algorithm="HS256")


def embedded_secret(data_dir: Path) -> str:
    """The secret of an embedded installation, made when there is none; one for all who ask at once.

    Raises:
        ConfigurationError: the directory cannot be written, or the secret not read.
    """
    make_data_dir(data_dir)
    try:
        if not (data_dir / SECRET_FILE).exists():
            _make_secret(data_dir)
    except OSError as error:
        raise ConfigurationError([f"FANOUT_DATA_DIR: {data_dir} cannot be written: {error.strerror}"]) from error
    return stored_secret(data_dir) or ""


def claimed_user(token: str, claim: str = DEFAULT_USER_CLAIM) -> str | None:
    """The user that a token claims to be of, unverified; None where it cannot be read.

    With it a client command reports early that a token is of another user.

    Args:
        token: as it was issued.
        claim: that names the user.
    """
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except (wrong.PyJWTError, ValueError):
        return None
    user_id = claims.get(claim)
    return user_id if isinstance(user_id, str) else None


def stored_secret(data_dir: Path) -> str | None:
    """The secret that `embedded_secret` made, or None where it has made none.

    Raises:
        ConfigurationError: it cannot be read.
    """
    path = data_dir / SECRET_FILE
    try:
        secret = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigurationError([f"FANOUT_DATA_DIR: {path} cannot be read as a secret"]) from error
    if not secret:
        raise ConfigurationError([f"FANOUT_DATA_DIR: {path} is empty; remove it, and a new secret is made"])
    return secret


def _make_secret(data_dir: Path) -> None:
    draft = data_dir / f"{SECRET_FILE}.{secrets.token_hex(8)}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        # A link is made or is there: the second process uses the secret of the first.
        os.link(draft, data_dir / SECRET_FILE)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _padded(secret: str) -> bytes:
    # HMAC pads a short key with zeros itself (RFC 2104): the tokens are the same, and PyJWT does not warn at
    # each call of what `Settings.warnings` says once.
    return secret.encode().ljust(_HMAC_BLOCK, b"\0")


def _header(token: str) -> tuple[str, str | None]:
    if len(token) > MAX_TOKEN:
        raise TokenRefused("token_malformed")
    try:
        header = jwt.get_unverified_header(token)
    except Exception as error:
        # PyJWT names most of what can be wrong; deep brackets and long numbers raise errors of the parser itself.
        raise TokenRefused("token_malformed") from error
    return str(header.get("alg")), header.get("kid")


def _claims(token: str, key: Any, algorithm: str) -> dict[str, Any]:
    try:
        return jwt.decode(token, key, algorithms=[algorithm], options=_SIGNATURE_ALONE)
    except Exception as error:  # as in `_header`
        code = next((code for kind, code in _CODES if isinstance(error, kind)), "token_malformed")
        raise TokenRefused(code) from error
