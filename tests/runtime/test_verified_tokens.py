"""A good signature is remembered, for the key that it was checked with, and no longer than others need the room."""

import pytest

from services.runtime.verified_tokens import MAX_KEPT, VerifiedToken, VerifiedTokens


def nested(depth: int) -> list[object]:
    inner: list[object] = []
    for _ in range(depth):
        inner = [inner]
    return inner


GOOD = VerifiedToken("HS256", None, b"key", {"sub": "alice"})


def test_what_was_added_is_known() -> None:
    verified = VerifiedTokens()
    assert verified.get("a.b.c") is None
    verified.add("a.b.c", GOOD)
    assert (verified.get("a.b.c"), verified.get("a.b.d")) == (GOOD, None)


def test_the_least_recently_used_is_forgotten() -> None:
    verified = VerifiedTokens(max_tokens=2)
    for token in "abac":
        if verified.get(token) is None:
            verified.add(token, GOOD)
    assert [verified.get(token) for token in "abc"] == [GOOD, None, GOOD]


def test_the_token_itself_is_not_kept() -> None:
    verified = VerifiedTokens()
    verified.add("a.b.c", GOOD)
    assert "a.b.c" not in str(vars(verified))


def test_any_text_is_a_token() -> None:
    VerifiedTokens().get("\ud800")


@pytest.mark.parametrize(
    "large",
    [
        GOOD._replace(claims={"sub": "alice", "aud": ["a" * 100] * 11}),
        GOOD._replace(key_id="k" * MAX_KEPT),
        GOOD._replace(claims={"sub": "alice", "aud": nested(100_000)}),
    ],
    ids=["claims", "key", "depth"],
)
def test_large_claims_are_not_kept(large: VerifiedToken) -> None:
    verified = VerifiedTokens()
    verified.add("a.b.c", GOOD)
    verified.add("a.b.c", large)
    assert verified.get("a.b.c") is None
