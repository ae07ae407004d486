import base64
import hashlib
import hmac
import json
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout.errors import InvalidId
from fanout.ports.authenticator import Authenticator, Identity, TokenRefused
from services.adapters.websocket.connection import MAX_REASON
from services.runtime.claims import LEEWAY_S, Expected
from services.runtime.settings import ConfigurationError, load_settings
from services.runtime.tokens import (
    TokenVerifier,
    claimed_user,
    embedded_secret,
    expected,
    sign,
    stored_secret,
    verifier,
)
from tests.support.issuer import claims, new_key, public_pem

ANYBODY = {"jwt_audience": "any", "jwt_issuer": "any"}
UNSIGNED = {"token_missing", "token_malformed", "token_algorithm", "token_key", "token_signature"}
SECRET = "a-secret-that-is-long-enough-for-hs256"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def hs256() -> Authenticator:
    return TokenVerifier(("HS256",), secret=SECRET)


def signed(payload: dict[str, Any], key: str = SECRET, algorithm: str = "HS256") -> str:
    return jwt.encode(payload, key, algorithm=algorithm)


def part(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def by_hand(payload: str, key: bytes, header: str = part(b'{"alg":"HS256","typ":"JWT"}')) -> str:
    """A token without PyJWT, which refuses to make some of these."""
    body = f"{header}.{part(payload.encode())}"
    return f"{body}.{part(hmac.new(key, body.encode(), hashlib.sha256).digest())}"


async def refusal(token: str, authenticator: Authenticator | None = None) -> str:
    with pytest.raises(TokenRefused) as caught:
        await (authenticator or hs256()).verify(token)
    if caught.value.code in UNSIGNED:  # an unverified token is told nothing of what stands in it
        assert str(caught.value) == str(TokenRefused("token_key"))
    assert len(f"{caught.value.code}: {caught.value}".encode()) <= MAX_REASON
    return caught.value.code


async def test_a_signed_token_proves_its_user() -> None:
    now = int(time.time())
    identity = await hs256().verify(sign(SECRET, "alice", 60, clock=lambda: now))
    assert identity == Identity("alice", now + 60 + LEEWAY_S)


async def test_no_token() -> None:
    assert await refusal("") == "token_missing"


@pytest.mark.parametrize("token", ["x", "a.b.c", "é.é.é", "." * 3, "e30.e30.e30", "a" * 9000])
async def test_nonsense_is_malformed_or_of_no_algorithm(token: str) -> None:
    assert await refusal(token) in {"token_malformed", "token_algorithm"}


async def test_a_longer_token_than_any_is_not_even_read() -> None:
    token = signed({**claims(), "padding": "x" * 9000})
    assert await refusal(token) == "token_malformed"


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE"])
async def test_alg_none_is_refused(name: str) -> None:
    for signature in ("", "AAAA"):
        token = f"{part(json.dumps({'alg': name}).encode())}.{part(json.dumps(claims()).encode())}.{signature}"
        assert await refusal(token) == "token_algorithm"


async def test_another_secret() -> None:
    assert await refusal(signed(claims(), "another-secret-that-is-long-enough-too")) == "token_signature"


async def test_another_algorithm_of_the_same_secret() -> None:
    assert await refusal(signed(claims(), SECRET * 2, "HS512")) == "token_algorithm"


async def test_expired_and_no_leeway_beyond_seconds() -> None:
    assert await refusal(signed(claims(ttl=-30))) == "token_expired"


@pytest.mark.parametrize(
    "payload",
    [
        {"sub": "alice"},
        {"exp": 4e9},
        {"sub": 7, "exp": 4e9},
        {"sub": "alice", "exp": 4e9, "nbf": 3.9e9},
    ],
)
async def test_claims_that_prove_nothing(payload: dict[str, Any]) -> None:
    assert await refusal(by_hand(json.dumps(payload), SECRET.encode())) == "token_claims"


@pytest.mark.parametrize("brackets", [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("place", ["header", "payload", "claim"])
async def test_deep_brackets_are_no_failure_of_ours(brackets: tuple[str, str], place: str) -> None:
    depth = 5500 // len("".join(brackets))
    deep = brackets[0] * depth + "1" + brackets[1] * depth
    header = part(b'{"alg":"HS256"}')
    token = {
        "header": by_hand('{"sub":"alice","exp":4e9}', SECRET.encode(), part(f'{{"alg":"HS256","x":{deep}}}'.encode())),
        "payload": by_hand(deep, SECRET.encode(), header),
        "claim": by_hand(f'{{"sub":"alice","exp":{deep}}}', SECRET.encode(), header),
    }[place]
    with suppress(TokenRefused):  # as deep as the parser goes is no harm in a header
        await hs256().verify(token)


@pytest.mark.parametrize("exp", ["1" + "0" * 400, "1" + "0" * 5000, "1e400", "-1e400", "NaN", "Infinity", "true", "[]"])
@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
async def test_a_number_beyond_all_times_is_a_refusal(claim: str, exp: str) -> None:
    token = by_hand('{"exp":4e9,"sub":"alice","%s":%s}' % (claim, exp), SECRET.encode())  # noqa: UP031 - braces
    assert await refusal(token) in {"token_malformed", "token_claims"}


@pytest.mark.parametrize("header", [b"[]", b"1", b"{}", b'{"alg":["HS256"]}', b'{"alg":"HS256","kid":7}'])
async def test_a_header_of_any_json_is_a_refusal(header: bytes) -> None:
    token = by_hand('{"sub":"alice","exp":4e9}', SECRET.encode(), part(header))
    assert await refusal(token) in {"token_malformed", "token_algorithm"}


@given(header=JSON, payload=JSON)
async def test_signed_json_of_any_kind_is_let_in_or_refused(header: Any, payload: Any) -> None:
    head = {"alg": "HS256", **header} if isinstance(header, dict) else header
    token = by_hand(json.dumps(payload), SECRET.encode(), part(json.dumps(head).encode()))
    assert (await refusal(token)).startswith("token_")


@given(st.dictionaries(st.sampled_from(["exp", "nbf", "iat", "sub", "aud", "iss"]), JSON))
async def test_claims_of_any_kind_are_let_in_or_refused(payload: dict[str, Any]) -> None:
    told = Expected("chat", "https://issuer.example")
    verifies = TokenVerifier(("HS256",), secret=SECRET, expected=told)
    token = by_hand(json.dumps({"exp": 4e9, "sub": "alice", **payload}), SECRET.encode())
    assert (await refusal(token, verifies)).startswith("token_")


async def test_a_signed_token_says_what_it_is_accepted_by() -> None:
    told = Expected("chat", "https://issuer.example", "uid")
    token = sign(SECRET, "alice", 60, says=told)
    assert (await TokenVerifier(("HS256",), secret=SECRET, expected=told).verify(token)).user_id == "alice"
    assert claimed_user(token, "uid") == "alice"
    assert await refusal(sign(SECRET, "alice", 60), TokenVerifier(("HS256",), secret=SECRET, expected=told))


def test_any_waives_an_audience_and_an_issuer() -> None:
    waived = load_settings(jwt_secret=SECRET, jwt_audience="any", jwt_issuer="any", jwt_user_claim="uid")
    assert expected(waived) == Expected(None, None, "uid")
    assert expected(load_settings(jwt_audience="chat", jwt_issuer="me")) == Expected("chat", "me", "sub")


@pytest.mark.parametrize("exp", ["soon", None, [1]])
async def test_an_expiry_that_is_no_time(exp: object) -> None:
    assert await refusal(signed({"sub": "alice", "exp": exp})) in {"token_claims", "token_malformed"}


async def test_an_expiry_that_no_clock_reaches_is_no_failure_of_ours() -> None:
    token = by_hand('{"sub":"alice","exp":1e999}', SECRET.encode())
    assert await refusal(token) in {"token_claims", "token_malformed"}


async def test_a_tampered_payload() -> None:
    header, _, signature = signed(claims("alice")).split(".")
    payload = signed(claims("mallory")).split(".")[1]
    assert await refusal(f"{header}.{payload}.{signature}") == "token_signature"


async def test_a_public_key_is_no_secret() -> None:
    """The algorithm confusion: a token signed by HS256 with the issuer's public key as the secret."""
    pem = public_pem(new_key("RS256"))
    token = by_hand(json.dumps(claims()), pem)
    settings = load_settings(
        jwks_url="http://127.0.0.1:9/unused", jwt_algorithms=("RS256",), jwt_secret=SECRET, **ANYBODY
    )
    assert await refusal(token, verifier(settings)) == "token_algorithm"


@pytest.mark.parametrize("secret", ["short", "x" * 200, "ümläut" * 6])
async def test_secrets_of_any_length_sign_as_any_other_implementation_does(secret: str) -> None:
    ours = sign(secret, "alice", 60)
    assert (await TokenVerifier(("HS256",), secret=secret).verify(ours)).user_id == "alice"
    payload = base64.urlsafe_b64decode(ours.split(".")[1] + "===").decode()
    assert by_hand(payload, secret.encode(), header=ours.split(".")[0]) == ours


def test_only_a_valid_id_gets_a_token() -> None:
    with pytest.raises(InvalidId):
        sign(SECRET, "a b", 60)


def test_an_algorithm_without_a_key_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="FANOUT_JWT_SECRET"):
        verifier(load_settings())
    with pytest.raises(ConfigurationError, match="FANOUT_JWKS_URL"):
        TokenVerifier(("ES256",))


async def test_the_configured_secret_wins_over_the_embedded_one() -> None:
    authenticator = verifier(load_settings(jwt_secret=SECRET), secret="embedded" * 8)
    assert (await authenticator.verify(sign(SECRET, "alice", 60))).user_id == "alice"


@given(st.text(max_size=60))
async def test_no_text_but_a_token_is_let_in(text: str) -> None:
    assert (await refusal(text)).startswith("token_")


def test_the_embedded_secret_is_made_once_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    data = tmp_path / "deep" / "data"
    assert stored_secret(data) is None
    secret = embedded_secret(data)
    assert len(secret) >= 48
    assert embedded_secret(data) == stored_secret(data) == secret
    (file,) = data.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_all_who_ask_at_once_get_the_same_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(embedded_secret, [tmp_path] * 64))
    assert len(secrets) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_an_empty_secret_is_an_error(tmp_path: Path) -> None:
    embedded_secret(tmp_path)
    next(tmp_path.iterdir()).write_text("")
    with pytest.raises(ConfigurationError, match="is empty"):
        embedded_secret(tmp_path)


def test_a_data_dir_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(ConfigurationError, match="FANOUT_DATA_DIR"):
        embedded_secret(tmp_path / "data")


@pytest.mark.parametrize("token", ["", "t", "a.b.c", "é", "a\nb"])
def test_nobody_is_claimed_by_what_is_no_token(token: str) -> None:
    assert claimed_user(token) is None


def test_the_user_that_a_token_claims_is_read_without_the_secret() -> None:
    assert claimed_user(sign("a-secret-that-is-long-enough-for-hs256", "alice", -60)) == "alice"


async def test_a_token_that_was_good_is_judged_again_each_time() -> None:
    now = 1_000.0
    authenticator = TokenVerifier(("HS256",), secret=SECRET, clock=lambda: now)
    token = signed({"sub": "alice", "exp": 2_000, "nbf": 900})
    for _ in range(2):
        assert (await authenticator.verify(token)).user_id == "alice"
    head, payload, signature = token.split(".")
    assert await refusal(f"{head}.{payload}.{part(bytes(32))}", authenticator) == "token_signature"
    assert await refusal(f"{head}.{part(b'{}')}.{signature}", authenticator) == "token_signature"
    now = 2_000 + LEEWAY_S
    assert await refusal(token, authenticator) == "token_expired"
    now = 900 - LEEWAY_S - 1
    assert await refusal(token, authenticator) == "token_claims"
    now = 1_000
    assert (await authenticator.verify(token)).user_id == "alice"


async def test_only_the_claims_that_are_checked_are_remembered() -> None:
    authenticator = TokenVerifier(("HS256",), secret=SECRET, expected=Expected(None, None, "user"))
    token = signed({**claims(), "user": "alice", "roles": ["r" * 100] * 30})
    assert (await authenticator.verify(token)).user_id == "alice"
    remembered = authenticator._verified.get(token)
    assert remembered is not None
    assert set(remembered.claims) <= {"exp", "nbf", "iat", "aud", "iss", "user"}
    assert (await authenticator.verify(token)).user_id == "alice"


async def test_a_token_of_large_claims_is_verified_each_time() -> None:
    token = signed({**claims(), "aud": ["a" * 100] * 30})
    authenticator = hs256()
    for _ in range(2):
        assert (await authenticator.verify(token)).user_id == claims()["sub"]
