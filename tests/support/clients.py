"""Clients as users have them: REST calls, and a WebSocket that keeps what it was sent."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from fanout.ids import new_device_id
from tests.support.cluster import token

WITHIN_S = 30.0


class Listener:
    """One user's WebSocket, read in the background."""

    def __init__(self, user_id: str, connection: ClientConnection) -> None:
        self.user_id = user_id
        self.connection = connection
        self.frames: list[dict[str, Any]] = []
        self.close_code: int | None = None
        self._changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for frame in self.connection:
                self.frames.append(json.loads(frame))
                self._changed.set()
        except ConnectionClosed:
            pass
        self.close_code = self.connection.close_code
        self._changed.set()

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["type"] == kind]

    def texts(self, channel: str | None = None) -> list[str]:
        news = self.of_type("message.new")
        return [frame["message"]["text"] for frame in news if channel in {None, frame["channel_id"]}]

    async def until(self, condition: Callable[[], bool], within_s: float = WITHIN_S) -> None:
        """Wait until what was received, or the closing, fulfils a condition."""
        try:
            async with asyncio.timeout(within_s):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"{self.user_id} received only {self.frames[-20:]}, {self.close_code=}") from None

    async def receives(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Wait for a frame with these fields, and return it."""

        def matching() -> list[dict[str, Any]]:
            return [f for f in self.of_type(kind) if all(f.get(name) == value for name, value in fields.items())]

        await self.until(lambda: bool(matching()))
        return matching()[0]

    async def is_closed(self, within_s: float = WITHIN_S) -> int | None:
        """Wait until the connection is closed, and return the code."""
        await self.until(lambda: self.close_code is not None, within_s)
        return self.close_code

    async def send(self, kind: str, **fields: Any) -> None:
        await self.connection.send(json.dumps({"type": kind, **fields}))

    async def close(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            await self.connection.close()
        await self._reading


async def open_raw(url: str, first: str | bytes, **options: Any) -> Listener:
    """Connect and send a first frame of any kind."""
    connection = await connect(url, compression=None, ping_interval=None, max_size=None, **options)
    listener = Listener("somebody", connection)
    await connection.send(first)
    return listener


async def open_listener(url: str, user_id: str, *, device_id: str | None = None, **options: Any) -> Listener:
    """Connect and authenticate; returns after `auth.ok` or the closing."""
    auth = {"type": "auth", "token": token(user_id), "device_id": device_id or new_device_id()}
    listener = await open_raw(url, json.dumps(auth), **options)
    listener.user_id = user_id
    await listener.until(lambda: bool(listener.of_type("auth.ok")) or listener.close_code is not None)
    return listener


@asynccontextmanager
async def listening(url: str, *user_ids: str, **options: Any) -> AsyncIterator[list[Listener]]:
    """Listeners for the length of the context."""
    listeners = list(await asyncio.gather(*(open_listener(url, user_id, **options) for user_id in user_ids)))
    try:
        yield listeners
    finally:
        await asyncio.gather(*(listener.close() for listener in listeners))


class Caller:
    """REST calls of any user."""

    def __init__(self, *urls: str) -> None:
        self._clients = [httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=30) for url in urls]
        self._turn = 0

    async def post(self, user_id: str, call: str, **body: Any) -> httpx.Response:
        self._turn += 1
        client = self._clients[self._turn % len(self._clients)]
        return await client.post(f"/{call}", json=body, headers=_as(user_id))

    async def get(self, user_id: str, call: str, **query: Any) -> httpx.Response:
        return await self._clients[0].get(f"/{call}", params=query, headers=_as(user_id))

    async def create(self, user_id: str, channel: str, *members: str, private: bool = False) -> None:
        body = {"channel_id": channel, "name": channel, "members": list(members), "private": private}
        response = await self.post(user_id, "channels.create", **body)
        assert response.status_code == 201, response.text

    async def say(self, user_id: str, channel: str, text: str, **more: Any) -> str:
        response = await self.post(user_id, "chat.sendMessage", channel=channel, text=text, **more)
        assert response.status_code == 202, response.text
        return str(response.json()["message_id"])

    async def close(self) -> None:
        await asyncio.gather(*(client.aclose() for client in self._clients))


def _as(user_id: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(user_id)}"}


def handshake() -> bytes:
    """The request that opens a WebSocket, for clients that are no more than a TCP connection."""
    key = base64.b64encode(bytes(16)).decode()
    head = ("GET /ws HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}")
    return "\r\n".join((*head, "Sec-WebSocket-Version: 13", "", "")).encode()
