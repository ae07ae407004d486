"""The gateway: from the table of calls to an ASGI application."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import CollectorRegistry

from fanout import __version__
from fanout.api.calls import ServedCall
from fanout.ports.authenticator import Authenticator
from services.gateway.callers import Callers
from services.gateway.cors import Cors
from services.gateway.edge import HEADER, Edge
from services.gateway.limiter import RateLimiter
from services.gateway.openapi import MEDIA_TYPE, document
from services.gateway.requests import reading
from services.runtime import operations
from services.runtime.exchange import ASGIApp, Exchange, Response
from services.runtime.health import Health
from services.runtime.operations import Operations, operation_routes, response_to
from services.runtime.router import Route, Router

OPENAPI: Final = "/openapi.json"


@dataclass(frozen=True, slots=True)
class Gateway:
    """The parts and limits of a gateway."""

    calls: Sequence[ServedCall]
    """The table of calls."""
    authenticator: Authenticator
    limiter: RateLimiter
    health: Health
    registry: CollectorRegistry
    max_body: int
    """Bytes."""
    origins: Sequence[str] = ()
    """The origins of the web pages that may call; `*` allows any."""


def gateway_app(gateway: Gateway) -> ASGIApp:
    """The application: the calls of the table, those of operations, and `/openapi.json`."""
    callers = Callers(gateway.authenticator, gateway.limiter)
    router = Router(
        [
            *(_route(served, callers, gateway.max_body) for served in gateway.calls),
            *operation_routes(Operations(gateway.health, gateway.registry)),
            _document(gateway.calls),
        ]
    )
    return Edge(_with_cors(router, gateway.origins), gateway.registry)


def _route(served: ServedCall, callers: Callers, max_body: int) -> Route:
    call, port, read = served.call, served.port, reading(served.call, max_body)

    async def respond(exchange: Exchange, parts: Mapping[str, str]) -> Response:
        caller = await callers.identify(exchange)
        request = await read(exchange, parts)
        return response_to(call, exchange, await call.handler(port, caller, request))

    return Route(call.method, call.route, respond)


def _document(calls: Sequence[ServedCall]) -> Route:
    rows = [*(served.call for served in calls), *operations.CALLS]
    response = Response(200, document(rows, __version__), MEDIA_TYPE.encode())

    async def respond(_exchange: Exchange, _parts: Mapping[str, str]) -> Response:
        return response

    return Route("GET", OPENAPI, respond)


def _with_cors(router: Router, origins: Sequence[str]) -> Any:
    if not origins:
        return router.respond
    cors = Cors(router, origins, ["Authorization", "Content-Type", HEADER], [HEADER, "Retry-After", "WWW-Authenticate"])
    return cors.respond
