"""A token is kept until it is refused."""

import pytest

from fanout.client import TokenRefused
from fanout.client.tokens import TokenSource


async def test_a_token_cannot_be_renewed() -> None:
    source = TokenSource("a")
    assert not source.renews
    assert await source.get(renew=False) == await source.get(renew=True) == "a"


async def test_a_function_is_asked_when_a_token_is_needed() -> None:
    made = iter("abc")
    source = TokenSource(lambda: next(made))
    assert source.renews
    got = [await source.get(renew=renew) for renew in (False, False, True, False)]
    assert got == ["a", "a", "b", "b"]


async def test_a_coroutine_function_is_awaited() -> None:
    async def make() -> str:
        return "a"

    assert await TokenSource(make).get(renew=False) == "a"


@pytest.mark.parametrize("token", ["\N{LATIN SMALL LETTER E WITH ACUTE}", "a\nb", "a\x7f"])
async def test_a_token_that_fits_no_header_is_refused(token: str) -> None:
    with pytest.raises(TokenRefused):
        await TokenSource(token).get(renew=False)
