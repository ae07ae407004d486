"""The gateway as an ASGI application."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from litestar import Litestar
from litestar.types import ASGIApp
from prometheus_client import CollectorRegistry

from fanout.api import Commands, Queries
from fanout.ports.authenticator import Authenticator
from services.gateway.admission import admission
from services.gateway.edge import Edge
from services.gateway.limiter import RateLimiter
from services.gateway.openapi import openapi_config
from services.gateway.routes import api_router
from services.runtime.health import Health
from services.runtime.web import operations, problem_response


@dataclass(frozen=True, slots=True)
class Gateway:
    """What the gateway works with."""

    commands: Commands
    queries: Queries
    authenticator: Authenticator
    limiter: RateLimiter
    health: Health
    registry: CollectorRegistry
    max_body: int
    """Bytes."""


def gateway_app(gateway: Gateway) -> ASGIApp:
    """The application: the API, the routes of operations, and `/openapi.json`."""
    admit = admission(gateway.authenticator, gateway.limiter)
    app = Litestar(
        [
            api_router(gateway.commands, gateway.queries, admit),
            *operations(gateway.health, gateway.registry),
        ],
        exception_handlers={Exception: problem_response},
        request_max_body_size=gateway.max_body,
        openapi_config=openapi_config(_version()),
        logging_config=None,
    )
    return Edge(app, gateway.registry)


def _version() -> str:
    try:
        return version("fanout")
    except PackageNotFoundError:
        return "0"
