"""What a token says, once its signature is good."""

from typing import Any

import pytest

from fanout.ports.authenticator import Identity, TokenRefused
from services.runtime.claims import LEEWAY_S, TIMES_BELOW, Expected, identity_of

NOW = 1_800_000_000.0
ANY = Expected()


def claims(**more: Any) -> dict[str, Any]:
    return {"sub": "alice", "exp": NOW + 60, **more}


def refused(given: dict[str, Any], expected: Expected = ANY) -> tuple[str, str]:
    with pytest.raises(TokenRefused) as caught:
        identity_of(given, expected, NOW)
    return caught.value.code, str(caught.value)


def accepted(given: dict[str, Any], expected: Expected = ANY) -> Identity:
    return identity_of(given, expected, NOW)


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
def test_one_leeway_is_granted_to_every_time(claim: str) -> None:
    sign = -1 if claim == "exp" else 1
    accepted(claims(**{claim: NOW + sign * (LEEWAY_S - 0.5)}))
    code, text = refused(claims(**{claim: NOW + sign * (LEEWAY_S + 0.5)}))
    assert (code, claim in text or "expired" in text) == ("token_expired" if claim == "exp" else "token_claims", True)


def test_an_open_connection_ends_when_its_token_would_be_refused() -> None:
    expires_at = accepted(claims()).expires_at
    identity_of(claims(), ANY, expires_at - 0.001)
    with pytest.raises(TokenRefused):
        identity_of(claims(), ANY, expires_at)


@pytest.mark.parametrize("value", [TIMES_BELOW, -TIMES_BELOW, 10**400, float("inf"), float("nan"), True, "1", [], {}])
@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
def test_a_time_that_is_none_is_named(claim: str, value: object) -> None:
    assert refused(claims(**{claim: value})) == ("token_claims", f"{claim} is no time in seconds since 1970")


def test_a_token_without_an_end_is_refused() -> None:
    assert refused({"sub": "alice"}) == ("token_claims", "exp is missing")


@pytest.mark.parametrize("audience", ["chat", ["chat"], ["other", "chat"]])
def test_the_audience_must_contain_ours(audience: object) -> None:
    assert accepted(claims(aud=audience), Expected(audience="chat")).user_id == "alice"


@pytest.mark.parametrize("audience", ["other", "chat2", "", [], ["other"], {"chat": 1}, 7, None])
def test_another_audience_is_refused_and_told_so(audience: object) -> None:
    code, text = refused(claims(aud=audience), Expected(audience="chat"))
    assert (code, "FANOUT_JWT_AUDIENCE" in text) == ("token_audience", True)
    assert accepted(claims(aud=audience)).user_id == "alice", "none is configured"


@pytest.mark.parametrize("issuer", ["https://other", "", ["https://me"], None, 7])
def test_another_issuer_is_refused_and_told_so(issuer: object) -> None:
    expected = Expected(issuer="https://me")
    code, text = refused(claims(iss=issuer), expected)
    assert (code, "FANOUT_JWT_ISSUER" in text) == ("token_issuer", True)
    assert accepted(claims(iss="https://me"), expected).user_id == "alice"


@pytest.mark.parametrize(
    "user", ["", "a.b", "a b", "a:b", "a\n", "*", "x" * 129, "auth0|5f7c8ec7c33c6c004bbafe82", "jürgen"]
)
def test_a_user_outside_the_charset_is_told_so(user: str) -> None:
    code, text = refused(claims(sub=user))
    assert (code, text) == ("token_user", "sub is no user id: a user id is 1 to 128 of A-Z a-z 0-9 _ -")


@pytest.mark.parametrize("user", [None, 7, ["alice"], {}])
def test_a_user_that_is_no_text_is_refused(user: object) -> None:
    assert refused(claims(sub=user))[0] == "token_claims"


def test_another_claim_may_name_the_user() -> None:
    assert accepted(claims(uid="bob", sub="a|b"), Expected(user_claim="uid")).user_id == "bob"
    assert refused(claims(), Expected(user_claim="uid")) == ("token_claims", "uid is missing")
