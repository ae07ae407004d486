from typing import Any, cast

import httpx
from prometheus_client import CollectorRegistry, Counter

from fanout.errors import Unavailable
from services.runtime.health import Health
from services.runtime.web import health_app


async def test_the_face_of_a_process_without_rest() -> None:
    up = True

    async def check() -> None:
        if not up:
            raise Unavailable("gone")

    health, registry = Health(), CollectorRegistry()
    health.add("log", check)
    Counter("things", "Things counted", registry=registry).inc()
    transport = httpx.ASGITransport(cast("Any", health_app(health, registry)))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        assert (await http.get("/healthz")).json() == {"status": "ok"}
        assert (await http.get("/readyz")).json() == {"ready": True, "degraded": False, "checks": {"log": "ok"}}
        metrics = await http.get("/metrics")
        assert "things_total 1.0" in metrics.text
        assert metrics.headers["content-type"].count("charset") == 1
        up = False
        response = await http.get("/readyz")
        assert (response.status_code, response.json()["checks"]) == (503, {"log": "Unavailable"})
        missing = await http.get("/api/v1/channels.list")
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
