"""The outermost layer of the gateway: a correlation id, a log line and figures for every request."""

import re
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram

from fanout import machine
from fanout.ids import new_ulid
from services.runtime.exchange import Exchange, Receive, Response, Scope, Send, send_response

HEADER: Final = "X-Correlation-ID"

_HEADER: Final = HEADER.lower().encode()
_VALID: Final = re.compile(rb"[A-Za-z0-9_.-]{1,128}")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_OPERATIONS: Final = frozenset({"/healthz", "/readyz", "/metrics"})
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_UNANSWERED: Final = 500
"""The status in the log of a request that ended without a response."""

log = structlog.stdlib.get_logger("fanout.access")


class Edge:
    """The gateway as an ASGI application.

    Args:
        respond: answers a request, whatever it is.
        registry: where the figures go.
    """

    def __init__(self, respond: Callable[[Exchange], Awaitable[Response]], registry: CollectorRegistry) -> None:
        self._respond = respond
        self._log: structlog.stdlib.BoundLogger = log.bind()  # once, since it takes as long as a line
        self._figures: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._requests = Counter(
            "fanout_http_requests",
            "Requests answered, by route and status",
            ["method", "route", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "fanout_http_request_seconds",
            "Time from a request's head to the end of its response",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        exchange = Exchange(scope, receive, correlation_id := _correlation_id(scope))
        status, begin = _UNANSWERED, machine.precise_s()
        with structlog.contextvars.bound_contextvars(correlation_id=correlation_id):
            try:
                response = await self._respond(exchange)
                status = response.status
                await send_response(send, response, (_HEADER, correlation_id.encode()))
            finally:
                self._record(exchange, status, machine.precise_s() - begin)

    def _record(self, exchange: Exchange, status: int, seconds: float) -> None:
        # Labels come from the routes that there are, never from what a client wrote.
        route = exchange.route or "unmatched"
        method = exchange.method if exchange.method in _METHODS else "other"
        requests, durations = self._figures_of(method, route, status)
        requests.inc()
        durations.observe(seconds)
        write = self._log.debug if route in _OPERATIONS else self._log.info
        write(
            "request",
            method=exchange.method,
            path=exchange.path,
            status=int(status),
            ms=round(seconds * 1000, 2),
            user=exchange.user_id,
            **({"reason": exchange.reason} if exchange.reason else {}),
        )

    def _figures_of(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        # The library looks for labels under a lock, slowly; there are no more of these than of its own.
        known = self._figures.get((method, route, status))
        if known is None:
            known = self._requests.labels(method, route, str(int(status))), self._seconds.labels(method, route)
            self._figures[method, route, status] = known
        return known


def _correlation_id(scope: Scope) -> str:
    given: bytes = next((value for name, value in scope["headers"] if name == _HEADER), b"")
    return given.decode("ascii") if _VALID.fullmatch(given) else new_ulid()
