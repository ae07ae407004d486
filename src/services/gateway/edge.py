"""The outermost layer: a correlation id, a log line and figures for every request."""

import re
import time
from typing import Any, Final

import structlog
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Histogram

from fanout.ids import new_ulid

HEADER: Final = "X-Correlation-ID"

_VALID: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_OPERATIONS: Final = frozenset({"/healthz", "/readyz", "/metrics"})
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

log = structlog.stdlib.get_logger("fanout.access")


class Edge:
    """Wraps the application.

    Args:
        app: the application.
        registry: where the figures go.
    """

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._requests = Counter(
            "fanout_http_requests",
            "Requests answered, by route and status",
            ["method", "route", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "fanout_http_request_seconds",
            "Time from a request's head to the end of its answer",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a connection."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        correlation_id = _correlation_id(scope)
        state = scope.setdefault("state", {})
        state["correlation_id"] = correlation_id
        exchange = _Exchange(receive, send, state)
        begin = time.perf_counter()
        with structlog.contextvars.bound_contextvars(correlation_id=correlation_id):
            try:
                await self._app(scope, exchange.receive, exchange.send)
            finally:
                self._record(scope, exchange.status, time.perf_counter() - begin)

    def _record(self, scope: Any, status: int, seconds: float) -> None:
        # Labels come from the routes that there are, never from what a client wrote.
        route = scope.get("path_template") or "unmatched"
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)
        write = log.debug if route in _OPERATIONS else log.info
        write(
            "request",
            method=scope["method"],
            path=scope["path"],
            status=status,
            ms=round(seconds * 1000, 2),
            user=scope.get("user"),
            **({"reason": reason} if (reason := scope["state"].get("reason")) else {}),
        )


class _Exchange:
    """Passes messages on, with the correlation id in the answer's head, and remembers how the exchange went."""

    def __init__(self, receive: Receive, send: Send, state: dict[str, Any]) -> None:
        self._receive = receive
        self._send = send
        self._state = state
        self.status = 500

    async def receive(self) -> Any:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._state["disconnected"] = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableScopeHeaders.from_message(message)[HEADER] = self._state["correlation_id"]
        await self._send(message)


def _correlation_id(scope: Scope) -> str:
    wanted = HEADER.lower().encode()
    given = next((value.decode("latin-1") for name, value in scope["headers"] if name == wanted), "")
    return given if _VALID.fullmatch(given) else new_ulid()
