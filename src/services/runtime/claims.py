"""Checks the claims of a token whose signature is valid: audience, issuer, times and user."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fanout.errors import InvalidId
from fanout.ids import check_id
from fanout.ports.authenticator import Identity, TokenRefused

LEEWAY_S: Final = 5.0
"""How far the issuer's clock may be from ours: for `exp`, `nbf`, `iat`, and the end of an open connection."""
TIMES_BELOW: Final = 253_402_300_800
"""The year 10000 in seconds: a later time is a mistake, such as one in milliseconds, and would never come."""
DEFAULT_USER_CLAIM: Final = "sub"
_ALWAYS_READ: Final = ("exp", "nbf", "iat", "aud", "iss")


@dataclass(frozen=True, slots=True)
class Expected:
    """The claims that a token must have to be accepted here."""

    audience: str | None = None
    """`aud` must contain it; None: any."""
    issuer: str | None = None
    """`iss` must be it; None: any."""
    user_claim: str = DEFAULT_USER_CLAIM
    """The claim that names the user."""

    def read(self, claims: Mapping[str, Any]) -> dict[str, Any]:
        """Those of some claims that `identity_of` reads; the others have no effect here."""
        return {name: claims[name] for name in (*_ALWAYS_READ, self.user_claim) if name in claims}


def identity_of(claims: Mapping[str, Any], expected: Expected, now: float) -> Identity:
    """The identity that the claims prove. The claims may be any JSON.

    Args:
        claims: of a token whose signature is valid.
        expected: the values that they must have.
        now: Unix time in seconds.

    Raises:
        TokenRefused: one is missing, wrong or expired; the text names it.
    """
    expires_at = _time(claims, "exp") + LEEWAY_S
    if now >= expires_at:
        raise TokenRefused("token_expired", "the token has expired")
    for name in ("nbf", "iat"):
        if name in claims and _time(claims, name) - LEEWAY_S > now:
            raise _wrong(f"the time in {name} has not come yet; compare the clocks")
    _check_origin(claims, expected)
    return Identity(_user(claims, expected.user_claim), expires_at)


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if value is None:
        raise _wrong(f"{name} is missing")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not -TIMES_BELOW < value < TIMES_BELOW:  # which no NaN is either
        raise _wrong(f"{name} is no time in seconds since 1970")
    return float(value)


def _check_origin(claims: Mapping[str, Any], expected: Expected) -> None:
    if expected.audience is not None:
        named = claims.get("aud")
        if expected.audience not in (named if isinstance(named, list) else [named]):
            raise TokenRefused("token_audience", "the token is for another audience than FANOUT_JWT_AUDIENCE")
    if expected.issuer is not None and claims.get("iss") != expected.issuer:
        raise TokenRefused("token_issuer", "the token has another issuer than FANOUT_JWT_ISSUER")


def _user(claims: Mapping[str, Any], claim: str) -> str:
    value = claims.get(claim)
    if not isinstance(value, str):
        raise _wrong(f"{claim} is missing" if value is None else f"{claim} is no text")
    try:
        return check_id(value, claim)
    except InvalidId as error:
        detail = f"{claim} is no user id: a user id is 1 to 128 of A-Z a-z 0-9 _ -"
        raise TokenRefused("token_user", detail) from error


def _wrong(detail: str) -> TokenRefused:
    return TokenRefused("token_claims", detail)
