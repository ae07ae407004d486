"""The rows of operations; what they answer over HTTP is tested in test_web.py and by the gateway's tests."""

from prometheus_client import CollectorRegistry

from fanout.api.calls import WithStatus
from fanout.errors import Unavailable
from services.runtime.health import Health, Readiness
from services.runtime.operations import CALLS, Operations, operation_routes, response_to
from tests.runtime.test_exchange import exchange


async def away() -> None:
    raise Unavailable("gone")


async def test_readiness_has_the_status_and_the_reason_of_its_report() -> None:
    health = Health()
    operations = Operations(health, CollectorRegistry())
    assert await operations.ready() == Readiness(ready=True, degraded=False, checks={})
    health.add("log", away)
    answer = await operations.ready()
    assert isinstance(answer, WithStatus)
    assert (answer.status, answer.reason) == (503, "log: Unavailable")
    asked = exchange()
    assert (response_to(CALLS[1], asked, answer).status, asked.reason) == (503, "log: Unavailable")


def test_each_call_has_a_route_and_none_needs_a_token() -> None:
    routes = operation_routes(Operations(Health(), CollectorRegistry()))
    assert [route.path for route in routes] == [call.path for call in CALLS] == ["/healthz", "/readyz", "/metrics"]
    assert all(call.public and not call.all_errors for call in CALLS)
