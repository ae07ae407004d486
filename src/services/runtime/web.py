"""The HTTP face of a process that serves no REST calls: health and metrics alone."""

from prometheus_client import CollectorRegistry

from fanout.ids import new_ulid
from services.runtime.exchange import ASGIApp, Exchange, Receive, Scope, Send, send_response
from services.runtime.health import Health
from services.runtime.operations import Operations, operation_routes
from services.runtime.router import Router


def health_app(health: Health, registry: CollectorRegistry) -> ASGIApp:
    """The application that answers `/healthz`, `/readyz` and `/metrics`.

    Args:
        health: the checks of the process.
        registry: its figures.
    """
    router = Router(operation_routes(Operations(health, registry)))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send_response(send, await router.respond(Exchange(scope, receive, new_ulid())))

    return app
