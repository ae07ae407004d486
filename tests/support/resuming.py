"""Clients of the harness that were away: the point that a client keeps, and what it got."""

import asyncio
from collections.abc import Iterable
from typing import Any

from services.notification.instance import NotificationInstance
from tests.support.harness import Client, Harness
from tests.support.observing import until


def point_after(frames: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The point of a client that got these frames, as docs/protocol.md says."""
    point: dict[str, Any] = {}
    for frame in frames:
        match frame:
            case {"type": "auth.ok", "seq": seq, "parts": parts, "log": log}:
                point = {"seq": seq, "parts": dict(parts), "log": log}
            case {"type": "message.new" | "thread.reply", "seq": seq, "part": part}:
                parts = point["parts"]
                parts[str(part)] = max(seq, parts.get(str(part), 0))
            case {"type": "heartbeat.ok", "seq": seq} | {"type": "catchup.complete", "last_event_seq": seq}:
                point["seq"] = max(seq, point["seq"])
    return point


async def leave(client: Client) -> dict[str, Any]:
    """Break the connection off; returns the point that the client has."""
    client.hang_up()
    await asyncio.sleep(0)
    return point_after(client.frames)


async def resumed(harness: Harness, instance: NotificationInstance, user_id: str, **auth: Any) -> Client:
    """Connect a client that was away; returns when it is caught up, or refused."""
    client = await harness.connect(instance, user_id, **auth)
    await until(lambda: bool(client.of_type("catchup.complete")) or client.close_code is not None, "caught up")
    return client


async def heartbeat(client: Client) -> int:
    """Send a heartbeat; returns the seq of its answer."""
    known = len(client.of_type("heartbeat.ok"))
    client.send("heartbeat")
    await until(lambda: len(client.of_type("heartbeat.ok")) > known, "answered")
    return int(client.of_type("heartbeat.ok")[-1]["seq"])
