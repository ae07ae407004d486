import pytest

from tests.simulation.evidence import Broken
from tests.simulation.focus import Focus
from tests.support.chronicle import PLAN, Chronicle


@pytest.mark.parametrize(
    ("of", "is_told"),
    [(["ann"], True), (["bob"], False), (["bob", "room"], False), (["bob", "m7"], True), ([], True), (["eve"], False)],
)
def test_what_concerns_the_broken_promises_is_told_and_what_concerns_nobody(of: list[str], is_told: bool) -> None:  # noqa: FBT001
    chronicle = Chronicle()
    chronicle.posts(1.0, "m7")
    focus = Focus(PLAN, chronicle.history, [Broken("missed", "ann-phone on instance1 never got m7 (seq 3)")])
    assert focus.has(of) is is_told


@pytest.mark.parametrize("broken", [[], [Broken("rest", "3 events of the log are not handled")]])
def test_everything_is_told_where_no_promise_names_anybody(broken: list[Broken]) -> None:
    assert Focus(PLAN, Chronicle().history, broken).has(["eve"])
