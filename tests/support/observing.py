"""Looking at running processes from outside."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import httpx

LOOK_EVERY_S = 0.1


async def metric(url: str, name: str) -> float:
    """A figure of a process by its name and labels as printed; 0 where it has not been counted yet."""
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"{url}/metrics")).text
    return next((float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{name} ")), 0.0)


async def until(condition: Callable[[], Awaitable[bool]], within_s: float) -> float:
    """Wait for a condition that can only be looked at; the seconds it took."""
    began = time.monotonic()
    async with asyncio.timeout(within_s):
        while not await condition():  # noqa: ASYNC110 - another process cannot set an event here
            await asyncio.sleep(LOOK_EVERY_S)
    return time.monotonic() - began
