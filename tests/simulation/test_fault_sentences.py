import pytest

from tests.simulation.drawing import _KINDS
from tests.simulation.fault_sentences import _BEGINS, _ENDS, fault_begins, fault_ends

ABOUT = {"on": "worker7", "to": "redis", "seconds": 7.5}


def test_each_fault_has_a_beginning_and_an_end() -> None:
    assert set(_BEGINS) == set(_ENDS) == set(_KINDS)


@pytest.mark.parametrize("kind", sorted(_ENDS))
def test_the_end_of_a_fault_says_who_is_well_again(kind: str) -> None:
    said = fault_ends({"fault": kind, **ABOUT})
    assert (said == "") == (kind == "remove")
    assert ("worker7" in said) == (kind not in {"remove", "deploy"})
    assert "  " not in said


def test_a_stream_that_is_lost_is_named_by_what_it_has() -> None:
    about = {"fault": "another", "on": "nats", "to": "META", "seconds": 1.0}
    assert (
        fault_begins(about) == "nats is away for 1.0 s, and comes back with a new, empty stream of changes of members"
    )
    assert fault_ends(about) == "nats is back, with a new stream of changes of members"
