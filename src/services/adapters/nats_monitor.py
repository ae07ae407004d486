"""The monitoring port of nats-server (`http_port`, or `-m`), which shows settings that the NATS protocol does not."""

from typing import Any, Final

import httpx

from fanout.errors import Unavailable

_WITHIN_S: Final = 3.0
_NANOSECONDS: Final = 1_000_000_000


async def sync_interval(url: str) -> float | None:
    """Ask a server how often it syncs what JetStream has acknowledged to the disk.

    Args:
        url: of the monitoring port, `http://host:port`.

    Returns:
        seconds; 0.0 if it syncs before it acknowledges; None if the server does not say it.

    Raises:
        Unavailable: no nats-server with JetStream answers there.
    """
    try:
        async with httpx.AsyncClient(timeout=_WITHIN_S, trust_env=False) as http:
            answer = (await http.get(f"{url.rstrip('/')}/varz")).raise_for_status().json()
        config: dict[str, Any] = (answer.get("jetstream") or {}).get("config") or {}
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, AttributeError) as error:
        raise Unavailable(f"no nats-server answers there: {type(error).__name__}") from error
    if config.get("sync_always"):
        return 0.0
    interval = config.get("sync_interval")
    return interval / _NANOSECONDS if isinstance(interval, int) else None
