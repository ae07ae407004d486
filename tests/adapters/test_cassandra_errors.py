"""Which errors of the driver mean that the same call may succeed later."""

import cassandra
import pytest
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionShutdown
from cassandra.protocol import IsBootstrappingErrorMessage, OverloadedErrorMessage, ServerError

from fanout.errors import Unavailable
from services.adapters.cassandra.errors import reaching


@pytest.mark.parametrize(
    "error",
    [
        NoHostAvailable("all failed", {"10.0.0.1": ConnectionShutdown("gone")}),
        ConnectionShutdown("gone"),
        OverloadedErrorMessage(0, "too much", None),
        IsBootstrappingErrorMessage(0, "starting", None),
        ServerError(0, "broken", None),
        cassandra.OperationTimedOut(),
        cassandra.WriteTimeout("late", write_type=cassandra.WriteType.SIMPLE),
        cassandra.ReadTimeout("late"),
        cassandra.WriteFailure("failed", write_type=cassandra.WriteType.SIMPLE),
        cassandra.Unavailable("too few"),
        cassandra.Unauthorized("not you"),
        OSError("unreachable"),
    ],
)
def test_what_may_succeed_later_is_unavailable(error: Exception) -> None:
    with pytest.raises(Unavailable, match="Cassandra cannot do it now") as caught, reaching("it"):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [cassandra.InvalidRequest("never"), ValueError("a defect"), TypeError("a type")])
def test_what_would_come_again_stays_what_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, reaching("it"):
        raise error
    assert caught.value is error


def test_the_errors_of_the_nodes_are_named() -> None:
    with pytest.raises(Unavailable, match=r"10\.0\.0\.1: gone"), reaching("it"):
        raise NoHostAvailable("all failed", {"10.0.0.1": ConnectionShutdown("gone")})
