import pytest

from services.runtime.bearer import bearer


@pytest.mark.parametrize("header", ["Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c "])
def test_the_scheme_is_in_capitals_or_not(header: str) -> None:
    assert bearer(header) == "a.b.c"


@pytest.mark.parametrize("header", [None, "", "Bearer", "a.b.c", "Basic a.b.c", "Bearera.b.c"])
def test_another_scheme_has_no_token(header: str | None) -> None:
    assert bearer(header) == ""
