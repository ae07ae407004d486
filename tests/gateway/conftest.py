"""A gateway over embedded adapters with faults, called without a socket."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import httpx
import pytest
from prometheus_client import CollectorRegistry

from services.command.devices import DeviceCommands
from services.command.drafts import DraftCommands
from services.command.service import CommandService
from services.composition.reading import receipt_queries, unread_queries
from services.gateway.app import Gateway, gateway_app
from services.gateway.limiter import RateLimiter
from services.gateway.table import table
from services.query.service import QueryService
from services.runtime.health import Health
from services.runtime.membership_cache import MembershipCache
from services.runtime.user_sync import UserSync
from tests.support.authenticator import StubAuthenticator
from tests.support.faulty import (
    FaultyBus,
    FaultyLog,
    FaultyMemberships,
    FaultyMessages,
    FaultyPresence,
    FaultyUnread,
    faulty_log,
    faulty_memberships,
    faulty_messages,
    faulty_unread,
)

MAX_BODY = 100_000


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """What stands behind the gateway."""

    log: FaultyLog
    memberships: FaultyMemberships
    messages: FaultyMessages
    unread: FaultyUnread
    bus: FaultyBus = field(default_factory=FaultyBus)
    presence: FaultyPresence = field(default_factory=FaultyPresence)
    authenticator: StubAuthenticator = field(default_factory=StubAuthenticator)
    health: Health = field(default_factory=Health)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    clock: Clock = field(default_factory=Clock)
    origins: tuple[str, ...] = ()

    def gateway(self) -> Gateway:
        cache = MembershipCache(self.memberships)
        return Gateway(
            calls=table(
                CommandService(self.log, self.memberships, cache, self.messages, self.memberships),
                QueryService(self.log, cache, self.messages, self.presence),
                unread_queries(self.log, self.memberships, self.messages, self.unread),
                receipt_queries(self.log, self.memberships, cache, self.messages, self.messages),
                DraftCommands(cache, self.unread, UserSync(self.bus)),
                DeviceCommands(self.memberships, self.bus),
            ),
            authenticator=self.authenticator,
            limiter=RateLimiter(2.0, 5, clock=self.clock),
            health=self.health,
            registry=self.registry,
            max_body=MAX_BODY,
            origins=self.origins,
        )


def problem(response: httpx.Response) -> tuple[int, str]:
    """Status and code, after what every problem has was checked."""
    body = response.json()
    assert response.headers["content-type"].startswith("application/problem+json")
    assert body["status"] == response.status_code
    assert body["correlation_id"] == response.headers["x-correlation-id"]
    assert body["type"].endswith(body["code"])
    assert body["title"]
    assert body["detail"]
    return response.status_code, body["code"]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with (
        faulty_log() as log,
        faulty_memberships() as memberships,
        faulty_messages() as messages,
        faulty_unread() as unread,
    ):
        yield World(log, memberships, messages, unread)


@pytest.fixture
async def http(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with as_user(world, "alice") as client:
        yield client


def as_user(world: World, user: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(cast("Any", gateway_app(world.gateway())), raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer user:{user}"}
    return httpx.AsyncClient(transport=transport, base_url="http://test/api/v1", headers=headers)
