"""Where the gateway meets command and query, which are one deployable with it here."""

from dataclasses import dataclass

from litestar.types import ASGIApp
from prometheus_client import CollectorRegistry

from fanout.ports.authenticator import Authenticator
from fanout.ports.log import Log
from fanout.ports.memberships import Memberships
from fanout.ports.messages import Messages
from fanout.ports.presence import Presence
from services.command.composition import build_commands
from services.gateway.app import Gateway, gateway_app
from services.gateway.limiter import RateLimiter
from services.query.composition import build_queries
from services.runtime.health import Health
from services.runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class Backends:
    """The ready adapters that the gateway's services work on."""

    log: Log
    memberships: Memberships
    messages: Messages
    presence: Presence


def build_app(
    settings: Settings,
    backends: Backends,
    authenticator: Authenticator,
    health: Health,
    registry: CollectorRegistry,
) -> ASGIApp:
    """The gateway with command and query in it.

    Args:
        settings: limits.
        backends: opened and closed by the caller.
        authenticator: verifies tokens.
        health: the process's checks; the caller adds them.
        registry: the process's figures.
    """
    return gateway_app(
        Gateway(
            commands=build_commands(backends.log, backends.memberships),
            queries=build_queries(backends.log, backends.memberships, backends.messages, backends.presence),
            authenticator=authenticator,
            limiter=RateLimiter(settings.rate_limit, settings.rate_burst),
            health=health,
            registry=registry,
            max_body=settings.max_body,
            origins=settings.cors_origins,
        )
    )
