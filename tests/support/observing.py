"""Waiting for what comes by itself, in this process and in others."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Final

import httpx

LOOK_EVERY_S = 0.1
LOOK_INSIDE_EVERY_S = 0.01
WITHIN_S = 30.0
NO_AUTHORITIES: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of plain HTTP that are made at every look: each would load all authorities of the system."""


async def metric(url: str, name: str) -> float:
    """A figure of a process by its name and labels as printed; 0 where it has not been counted yet."""
    async with httpx.AsyncClient(verify=NO_AUTHORITIES) as client:
        text = (await client.get(f"{url}/metrics")).text
    return next((float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{name} ")), 0.0)


async def until(condition: Callable[[], bool], what: str = "the condition", within_s: float = WITHIN_S) -> None:
    """Wait until a condition of objects in this process holds."""
    try:
        async with asyncio.timeout(within_s):
            while not condition():  # noqa: ASYNC110 - what is looked at has no event of its own
                await asyncio.sleep(LOOK_INSIDE_EVERY_S)
    except TimeoutError:
        raise AssertionError(f"{what} did not come to hold") from None


async def eventually(condition: Callable[[], Awaitable[bool]], within_s: float) -> float:
    """Wait for a condition of other processes; the seconds it took."""
    began = time.monotonic()
    async with asyncio.timeout(within_s):
        while not await condition():  # noqa: ASYNC110 - another process cannot set an event here
            await asyncio.sleep(LOOK_EVERY_S)
    return time.monotonic() - began
