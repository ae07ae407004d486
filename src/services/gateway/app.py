"""The gateway as an ASGI application."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from litestar import Litestar
from litestar.config.cors import CORSConfig
from litestar.types import ASGIApp
from prometheus_client import CollectorRegistry

from fanout.api import Commands, Queries
from fanout.ports.authenticator import Authenticator
from services.gateway.admission import admission
from services.gateway.edge import HEADER, Edge
from services.gateway.limiter import RateLimiter
from services.gateway.openapi import openapi_config
from services.gateway.routes import api_router
from services.runtime.head import answers_head
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
    origins: Sequence[str] = ()
    """Of the pages whose scripts may call."""


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
        cors_config=_cors(gateway.origins),
        logging_config=None,
    )
    return Edge(answers_head(app), gateway.registry)


def _cors(origins: Sequence[str]) -> CORSConfig | None:
    if not origins:
        return None
    return CORSConfig(
        allow_origins=list(origins),
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type", HEADER],
        expose_headers=[HEADER, "Retry-After", "WWW-Authenticate"],
    )


def _version() -> str:
    try:
        return version("fanout")
    except PackageNotFoundError:
        return "0"
