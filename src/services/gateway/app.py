"""The gateway as an ASGI application."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from litestar import Litestar
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import ASGIApp
from prometheus_client import CollectorRegistry

from fanout.api import Commands, Queries
from fanout.ports.authenticator import Authenticator
from services.gateway.admission import admission
from services.gateway.edge import Edge
from services.gateway.limiter import RateLimiter
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
        openapi_config=_openapi(),
        logging_config=None,
    )
    return Edge(app, gateway.registry)


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Fanout",
        version=_version(),
        description="The REST face of the real-time tier. Errors are RFC 9457 problems with a stable `code`.",
        path="/openapi.json",
        render_plugins=[JsonRenderPlugin(path="/")],
        components=Components(
            security_schemes={"token": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")}
        ),
    )


def _version() -> str:
    try:
        return version("fanout")
    except PackageNotFoundError:
        return "0"
