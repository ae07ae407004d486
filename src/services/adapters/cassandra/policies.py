"""How the driver chooses nodes, retries and reconnects. Nothing is left to its defaults, which change."""

from typing import Any, Final

from cassandra import ConsistencyLevel
from cassandra.cluster import ExecutionProfile
from cassandra.policies import (
    DCAwareRoundRobinPolicy,
    ExponentialReconnectionPolicy,
    NoSpeculativeExecutionPolicy,
    RetryPolicy,
    TokenAwarePolicy,
)
from cassandra.query import tuple_factory

LONGEST_RECONNECT_S: Final = 5.0
_FIRST_RECONNECT_S: Final = 0.25
_Decision = tuple[int, int | None]


class RetryOnAnotherNode(RetryPolicy):  # type: ignore[misc]  # the driver has no types
    """Retries once on the next node, when a node broke off or refused an idempotent statement. Nothing else is retried.

    A timeout is reported: the callers repeat their calls as a whole, and know that this is safe.
    """

    def on_request_error(self, query: Any, consistency: int, *_: Any, retry_num: int, **__: Any) -> _Decision:
        """A node refused a request, or its connection broke."""
        return self._next(query, consistency, retry_num)

    def on_unavailable(self, query: Any, consistency: int, *_: Any, retry_num: int, **__: Any) -> _Decision:
        """A node knows too few replicas that are up; another one may know more."""
        return self._next(query, consistency, retry_num)

    def on_read_timeout(self, *_: Any, **__: Any) -> _Decision:
        """The replicas did not answer the coordinator in time."""
        return self.RETHROW, None

    def on_write_timeout(self, *_: Any, **__: Any) -> _Decision:
        """The replicas did not answer the coordinator in time; the write may have been done."""
        return self.RETHROW, None

    def _next(self, query: Any, consistency: int, retry_num: int) -> _Decision:
        if retry_num == 0 and getattr(query, "is_idempotent", False):
            return self.RETRY_NEXT_HOST, consistency
        return self.RETHROW, None


def profile(timeout_s: float) -> ExecutionProfile:
    """The execution profile of every request.

    Args:
        timeout_s: seconds after which the driver gives up a request.
    """
    return ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(
            DCAwareRoundRobinPolicy()
        ),  # the data centre of the hosts that are named
        retry_policy=RetryOnAnotherNode(),
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        serial_consistency_level=ConsistencyLevel.LOCAL_SERIAL,
        request_timeout=timeout_s,
        row_factory=tuple_factory,
        speculative_execution_policy=NoSpeculativeExecutionPolicy(),
    )


def reconnection() -> ExponentialReconnectionPolicy:
    """Tries without end; the driver's default gives up after 64 tries."""
    return ExponentialReconnectionPolicy(_FIRST_RECONNECT_S, LONGEST_RECONNECT_S, max_attempts=None)
