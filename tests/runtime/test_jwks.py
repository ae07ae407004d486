import asyncio
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fanout.errors import Unavailable
from fanout.ports.authenticator import TokenRefused
from services.runtime import jwks
from services.runtime.health import Degraded
from services.runtime.jwks import CHECK_INTERVAL_S, MAX_AGE_S, MAX_BYTES, REFRESH_INTERVAL_S, KeySet
from services.runtime.tokens import TokenVerifier
from tests.support.certificates import Authority
from tests.support.issuer import Issuer, new_key, public_jwk, running_issuer

ALGORITHMS = ("RS256", "ES256", "EdDSA")
KEYS = {algorithm: new_key(algorithm) for algorithm in ALGORITHMS}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running_issuer() as running:
        running.publish(RS256=KEYS["RS256"], ES256=KEYS["ES256"], EdDSA=KEYS["EdDSA"])
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authenticator(issuer: Issuer, clock: Clock) -> TokenVerifier:
    return TokenVerifier(ALGORITHMS, keys=KeySet(issuer.url, clock))


async def refusal(authenticator: TokenVerifier, token: str) -> str:
    with pytest.raises(TokenRefused) as caught:
        await authenticator.verify(token)
    return caught.value.code


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_each_asymmetric_algorithm(issuer: Issuer, authenticator: TokenVerifier, algorithm: str) -> None:
    assert (await authenticator.verify(issuer.token(algorithm, algorithm))).user_id == "alice"


@pytest.mark.parametrize(
    "answer",
    [b"this is not HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{", b""],
    ids=["no HTTP", "cut short", "nothing"],
)
async def test_an_issuer_that_breaks_off_is_unavailable(answer: bytes) -> None:
    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(answering, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        with pytest.raises(Unavailable):
            await KeySet(f"http://{host}:{port}/jwks").key("any")


async def test_the_set_is_fetched_once(issuer: Issuer, authenticator: TokenVerifier) -> None:
    for _ in range(5):
        await authenticator.verify(issuer.token("ES256", "ES256"))
    assert issuer.requests == 1


async def test_another_key_of_the_same_id(issuer: Issuer, authenticator: TokenVerifier) -> None:
    token = issuer.token("ES256", "ES256", key=new_key("ES256"))
    assert await refusal(authenticator, token) == "token_signature"


async def test_a_key_of_another_kind_than_the_algorithm(issuer: Issuer, authenticator: TokenVerifier) -> None:
    token = issuer.token("RS256", "ES256", key=KEYS["ES256"])
    assert await refusal(authenticator, token) == "token_key"


async def test_an_algorithm_that_is_not_configured(issuer: Issuer, clock: Clock) -> None:
    authenticator = TokenVerifier(("ES256",), keys=KeySet(issuer.url, clock))
    assert await refusal(authenticator, issuer.token("RS256", "RS256")) == "token_algorithm"
    assert issuer.requests == 0


async def test_unknown_key_ids_ask_the_issuer_once_in_a_while(
    issuer: Issuer, authenticator: TokenVerifier, clock: Clock
) -> None:
    for number in range(20):
        token = issuer.token(f"unknown-{number}", "ES256", key=KEYS["ES256"])
        assert await refusal(authenticator, token) == "token_key"
    assert issuer.requests == 1
    clock.now += REFRESH_INTERVAL_S + 1
    assert await refusal(authenticator, token) == "token_key"
    assert issuer.requests == 2


async def test_a_rotated_key_is_found(issuer: Issuer, authenticator: TokenVerifier, clock: Clock) -> None:
    await authenticator.verify(issuer.token("ES256", "ES256"))
    issuer.publish(fresh=new_key("ES256"))
    clock.now += REFRESH_INTERVAL_S + 1
    assert (await authenticator.verify(issuer.token("fresh", "ES256"))).user_id == "alice"


async def test_a_withdrawn_key_is_refused_when_its_time_is_over(
    issuer: Issuer, authenticator: TokenVerifier, clock: Clock
) -> None:
    token = issuer.token("ES256", "ES256")
    await authenticator.verify(token)
    issuer.publish(fresh=new_key("ES256"))
    await authenticator.verify(token)
    clock.now += MAX_AGE_S + 1
    assert await refusal(authenticator, token) == "token_key"


async def test_no_key_id_means_the_only_key(issuer: Issuer, authenticator: TokenVerifier, clock: Clock) -> None:
    assert await refusal(authenticator, issuer.token(None, "RS256")) == "token_key"
    issuer.publish(only=KEYS["ES256"])
    clock.now += REFRESH_INTERVAL_S + 1
    assert (await authenticator.verify(issuer.token(None, "ES256"))).user_id == "alice"


@pytest.mark.parametrize(
    ("status", "document"),
    [(500, b"{}"), (200, b"not json"), (200, b"[]"), (200, b'{"keys": []}'), (200, b'{"keys": [{"kty": "x"}]}')],
)
async def test_a_failing_issuer_is_unavailable_and_never_a_yes(
    issuer: Issuer, authenticator: TokenVerifier, status: int, document: bytes, clock: Clock
) -> None:
    issuer.status, issuer.document = status, document
    for _ in range(3):
        with pytest.raises(Unavailable):
            await authenticator.verify(issuer.token("ES256", "ES256"))
    assert issuer.requests == 1
    issuer.status = 200
    issuer.publish(ES256=KEYS["ES256"])
    clock.now += REFRESH_INTERVAL_S + 1
    assert (await authenticator.verify(issuer.token("ES256", "ES256"))).user_id == "alice"


async def test_known_keys_verify_while_their_issuer_is_away_and_the_state_shows(
    issuer: Issuer, authenticator: TokenVerifier, clock: Clock
) -> None:
    token = issuer.token("ES256", "ES256")
    await authenticator.verify(token)
    await authenticator.check()
    issuer.status = 503
    for _ in range(3):
        clock.now += MAX_AGE_S + 1
        assert (await authenticator.verify(token)).user_id == "alice"
        with pytest.raises(Degraded, match="the issuer is away"):
            await authenticator.check()
    with pytest.raises(Unavailable):
        await authenticator.verify(issuer.token("unknown", "ES256", key=KEYS["ES256"]))
    issuer.status = 200
    clock.now += REFRESH_INTERVAL_S + 1
    await authenticator.verify(token)
    await authenticator.check()


async def test_a_key_withdrawn_during_an_outage_is_refused_when_the_issuer_is_back(
    issuer: Issuer, authenticator: TokenVerifier, clock: Clock
) -> None:
    token = issuer.token("ES256", "ES256")
    await authenticator.verify(token)
    issuer.status = 503
    clock.now += MAX_AGE_S + 1
    await authenticator.verify(token)
    issuer.publish(fresh=new_key("ES256"))
    issuer.status = 200
    clock.now += REFRESH_INTERVAL_S + 1
    assert await refusal(authenticator, token) == "token_key"


async def test_the_check_of_health_sees_an_issuer_that_is_away_before_its_keys_are_old(
    issuer: Issuer, authenticator: TokenVerifier, clock: Clock
) -> None:
    await authenticator.check()
    issuer.status = 503
    clock.now += CHECK_INTERVAL_S + 1
    with pytest.raises(Degraded):
        await authenticator.check()


async def test_without_ever_having_had_keys_the_check_of_health_fails(
    issuer: Issuer, authenticator: TokenVerifier
) -> None:
    issuer.status = 503
    for _ in range(2):
        with pytest.raises(Unavailable):
            await authenticator.check()


async def test_an_issuer_without_keys_has_withdrawn_all(
    issuer: Issuer, authenticator: TokenVerifier, clock: Clock
) -> None:
    token = issuer.token("ES256", "ES256")
    await authenticator.verify(token)
    issuer.publish()
    clock.now += MAX_AGE_S + 1
    with pytest.raises(Unavailable):
        await authenticator.verify(token)
    with pytest.raises(Unavailable):
        await authenticator.check()


@pytest.mark.parametrize("named", [{"use": "enc"}, {"key_ops": ["encrypt"]}, {"key_ops": "verify"}])
async def test_a_key_that_is_not_for_signatures_verifies_nothing(
    issuer: Issuer, authenticator: TokenVerifier, named: dict[str, Any]
) -> None:
    for_encryption = {**public_jwk(KEYS["RS256"], "RS256"), **named}
    issuer.document = json.dumps({"keys": [for_encryption, public_jwk(KEYS["ES256"], "ES256")]}).encode()
    assert await refusal(authenticator, issuer.token("RS256", "RS256")) == "token_key"
    assert (await authenticator.verify(issuer.token(None, "ES256", key=KEYS["ES256"]))).user_id == "alice"


async def test_a_key_of_another_algorithm_verifies_nothing(issuer: Issuer, clock: Clock) -> None:
    jwk = {**public_jwk(KEYS["RS256"], "RS256"), "alg": "PS256"}
    issuer.document = json.dumps({"keys": [jwk]}).encode()
    authenticator = TokenVerifier(("RS256", "PS256"), keys=KeySet(issuer.url, clock))
    assert await refusal(authenticator, issuer.token("RS256", "RS256")) == "token_key"
    assert (await authenticator.verify(issuer.token("RS256", "PS256"))).user_id == "alice"


@pytest.mark.parametrize(
    "document",
    [
        b"[" * 100_000,
        b'{"keys":' + b"[" * 100_000,
        b'{"keys": [{"kty": "RSA", "n": ' + b"[" * 100_000,
        b'{"keys": [' + b"1" * 10_000 + b"]}",
        b'{"keys": {}}',
        b'{"keys": [[], 7, null, {"kty": []}, {"kty": "RSA", "n": 7, "e": {}}]}',
        b" " * (MAX_BYTES + 1),
        b"\xff\xfe\x00",
    ],
    ids=[
        "brackets",
        "a list of brackets",
        "a key of brackets",
        "a long number",
        "no list",
        "no keys",
        "large",
        "bytes",
    ],
)
async def test_a_hostile_set_of_keys_is_unavailable(
    issuer: Issuer, authenticator: TokenVerifier, document: bytes
) -> None:
    token = issuer.token("ES256", "ES256")
    issuer.document = document
    with pytest.raises(Unavailable):
        await authenticator.verify(token)


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"], ids=["head", "body"])
async def test_a_set_of_keys_that_trickles_is_given_up(head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time; the whole never does."""
    monkeypatch.setattr(jwks, "FETCH_TIMEOUT_S", 0.3)
    gone = asyncio.Event()

    async def trickling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        try:
            while True:
                writer.write(b"H")
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            gone.set()

    async with await asyncio.start_server(trickling, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        keys = KeySet(f"http://{host}:{port}/jwks")
        async with asyncio.timeout(30):
            with pytest.raises(Unavailable, match="no answer within"):
                await keys.key("any")
            await gone.wait()


async def test_the_authorities_are_those_of_the_machine_or_of_ssl_cert_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = Authority(tmp_path).issue("127.0.0.1")
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(issued.certificate, issued.key)
    document = json.dumps({"keys": [public_jwk(KEYS["ES256"], "one")]}).encode()

    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(document), document))
        writer.close()

    async with await asyncio.start_server(answering, "127.0.0.1", 0, ssl=server_side) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks"
        with pytest.raises(Unavailable, match=r"certificate is not trusted.*SSL_CERT_FILE"):
            await KeySet(url).key("one")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert (await KeySet(url).key("one")).kind == "EC"


async def test_one_request_serves_all_who_wait_and_none_of_them_ends_it(
    issuer: Issuer, authenticator: TokenVerifier
) -> None:
    token = issuer.token("ES256", "ES256")
    waiting = [asyncio.create_task(authenticator.verify(token)) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    identities = await asyncio.gather(*waiting[1:])
    assert (len(identities), issuer.requests) == (19, 1)


async def test_a_secret_in_a_key_set_signs_nothing(issuer: Issuer, clock: Clock) -> None:
    """An `oct` key published by mistake is not taken for the shared secret."""
    issuer.document = b'{"keys": [{"kty": "oct", "kid": "ES256", "k": "c2VjcmV0"}]}'
    authenticator = TokenVerifier(("ES256",), keys=KeySet(issuer.url, clock))
    token = issuer.token("ES256", "ES256", key=KEYS["ES256"])
    with pytest.raises((TokenRefused, Unavailable)):
        await authenticator.verify(token)


def test_the_keys_of_these_tests_are_public_ones() -> None:
    assert all("d" not in public_jwk(key, "x") for key in KEYS.values())


async def test_a_token_that_was_good_is_refused_once_another_key_has_its_id(
    issuer: Issuer, authenticator: TokenVerifier, clock: Clock
) -> None:
    token = issuer.token("ES256", "ES256")
    for _ in range(2):
        assert (await authenticator.verify(token)).user_id == "alice"
    issuer.publish(ES256=new_key("ES256"))
    clock.now += MAX_AGE_S + 1
    assert await refusal(authenticator, token) == "token_signature"
