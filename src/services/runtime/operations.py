"""The calls for those who run the process: `/healthz`, `/readyz`, `/metrics`. None needs a token."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from prometheus_client import CollectorRegistry

from fanout.api.calls import Call, Caller, WithStatus
from fanout.api.common import NoFields
from services.runtime import metrics
from services.runtime.exchange import Exchange, Response
from services.runtime.health import OK, Health, Readiness
from services.runtime.router import Route

_NOBODY: Final = Caller("", "")
_NOTHING: Final = NoFields()


class Operations:
    """Handles the calls of this module.

    Args:
        health: the checks of the process.
        registry: its figures.
    """

    def __init__(self, health: Health, registry: CollectorRegistry) -> None:
        self._health = health
        self._registry = registry

    async def alive(self) -> dict[str, str]:
        """Answer at all."""
        return {"status": "ok"}

    async def ready(self) -> Readiness | WithStatus:
        """Run the checks; 503 where one of them hinders the process."""
        report = await self._health.report()
        if report.ready:
            return report
        failing = (f"{name}: {result}" for name, result in report.checks.items() if result != OK)
        return WithStatus(report, HTTPStatus.SERVICE_UNAVAILABLE, "; ".join(failing))

    async def figures(self) -> bytes:
        """The figures, after the checks were run, so that those of health are those of now."""
        await self._health.report()
        return metrics.render(self._registry)


CALLS: Final = (
    Call[Operations, NoFields](
        name="healthz",
        method="GET",
        path="/healthz",
        public=True,
        request=NoFields,
        response=dict[str, str],
        summary="Is the process alive",
        meaning="It is.",
        handler=lambda port, _caller, _request: port.alive(),
    ),
    Call[Operations, NoFields](
        name="readyz",
        method="GET",
        path="/readyz",
        public=True,
        request=NoFields,
        response=Readiness,
        other_statuses={503: "It is not: something that it needs is not good."},
        summary="Is the process ready, with each thing that it depends on",
        meaning="It is; `degraded` where it does without something that is away.",
        handler=lambda port, _caller, _request: port.ready(),
    ),
    Call[Operations, NoFields](
        name="metrics",
        method="GET",
        path="/metrics",
        public=True,
        request=NoFields,
        response=str,
        media_type=metrics.CONTENT_TYPE,
        summary="Figures in Prometheus' text format",
        meaning="The figures.",
        handler=lambda port, _caller, _request: port.figures(),
    ),
)


def operation_routes(operations: Operations) -> list[Route]:
    """The routes of these calls.

    Args:
        operations: handles them.
    """
    return [_route(call, operations) for call in CALLS]


def response_to(call: Call[Any, Any], exchange: Exchange, result: Any) -> Response:
    """The response to a call that was handled.

    Args:
        call: the row.
        exchange: gets the reason of a `WithStatus`.
        result: the return value of the handler.
    """
    status = call.status
    if isinstance(result, WithStatus):
        exchange.reason = result.reason
        result, status = result.response, result.status
    body = result if isinstance(result, bytes) else msgspec.json.encode(result)
    return Response(status, body, call.media_type.encode())


def _route(call: Call[Operations, NoFields], operations: Operations) -> Route:
    async def respond(exchange: Exchange, _parts: Mapping[str, str]) -> Response:
        return response_to(call, exchange, await call.handler(operations, _NOBODY, _NOTHING))

    return Route(call.method, call.route, respond)
