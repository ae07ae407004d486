"""What the driver retries, and how long it tries to connect."""

from itertools import islice

import pytest
from cassandra import ConsistencyLevel
from cassandra.policies import RetryPolicy
from cassandra.query import SimpleStatement

from services.adapters.cassandra.policies import LONGEST_RECONNECT_S, RetryOnAnotherNode, profile, reconnection

QUORUM = ConsistencyLevel.LOCAL_QUORUM
AGAIN = (RetryPolicy.RETRY_NEXT_HOST, QUORUM)
REPORTED = (RetryPolicy.RETHROW, None)


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize("tried", [0, 1])
def test_a_statement_is_tried_once_more_only_if_that_is_safe(idempotent: bool, tried: int) -> None:  # noqa: FBT001
    policy, statement = RetryOnAnotherNode(), SimpleStatement("SELECT 1", is_idempotent=idempotent)
    expected = AGAIN if idempotent and not tried else REPORTED
    assert policy.on_request_error(statement, QUORUM, error=OSError(), retry_num=tried) == expected
    assert (
        policy.on_unavailable(statement, consistency=QUORUM, required_replicas=2, alive_replicas=1, retry_num=tried)
        == expected
    )


def test_a_timeout_is_never_retried() -> None:
    policy, statement = RetryOnAnotherNode(), SimpleStatement("SELECT 1", is_idempotent=True)
    assert policy.on_write_timeout(statement, QUORUM, "SIMPLE", 2, 1, 0) == REPORTED
    assert policy.on_read_timeout(statement, QUORUM, 2, 2, False, 0) == REPORTED  # noqa: FBT003 - the driver's


def test_the_driver_tries_to_connect_without_end_and_often() -> None:
    delays = list(islice(reconnection().new_schedule(), 1_000))
    assert len(delays) == 1_000
    assert max(delays) <= LONGEST_RECONNECT_S * 1.15  # the driver adds some chance


def test_requests_are_acknowledged_by_a_quorum_of_the_data_centre() -> None:
    chosen = profile(3.0)
    assert (chosen.consistency_level, chosen.serial_consistency_level) == (QUORUM, ConsistencyLevel.LOCAL_SERIAL)
    assert chosen.request_timeout == 3.0
