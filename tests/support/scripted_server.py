"""A WebSocket server whose connections follow scripts, and which takes no frame that is not of the contract."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

WELCOME: Final = {
    "type": "auth.ok",
    "user_id": "alice",
    "session_id": "sess_1",
    "device_id": "dev",
    "heartbeat_s": 30,
    "seq": 5,
    "parts": {},
    "log": "log-1",
}
MESSAGE: Final = {
    "type": "message.new",
    "seq": 7,
    "part": 3,
    "channel_id": "general",
    "message": {"message_id": "m", "channel_id": "general", "sender_id": "bob", "text": "hi [b]there", "sent_at": "t"},
}
COMPLETE: Final = {"type": "catchup.complete", "tier": 1, "last_event_seq": 7}

_FIELDS: Final = {
    "auth": {"token", "device_id", "platform", "state", "focused_channel", "resume"},
    "heartbeat": {"device_id", "state", "focused_channel"},
    "typing.start": {"channel_id"},
    "typing.stop": {"channel_id"},
    "mark_read": {"channel_id", "message_id"},
    "message.read": {"channel_id", "message_id"},
    "draft.save": {"channel_id", "text", "reply_to", "attachments", "draft", "base_updated_at"},
    "channel.open": {"channel_id"},
    "presence.watch": {"user_ids"},
    "ping": set(),
}
"""The frames that clients send, and their fields."""


class Dialogue:
    """The server's end of one connection."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.auth: dict[str, Any] = {}

    async def send(self, *frames: dict[str, Any]) -> None:
        """Send frames."""
        for frame in frames:
            await self.socket.send(json.dumps(frame))

    async def receive(self) -> dict[str, Any]:
        """The next frame of the client, which is one of the contract."""
        frame: dict[str, Any] = json.loads(await self.socket.recv())
        assert set(frame) - {"type"} <= _FIELDS[frame["type"]], frame
        return frame

    async def until(self, frame_type: str) -> dict[str, Any]:
        """The next frame of a type; a heartbeat is answered."""
        while (frame := await self.receive())["type"] != frame_type:
            if frame["type"] == "heartbeat":
                await self.send({"type": "heartbeat.ok", "seq": 0})
        return frame

    async def close(self, code: int, reason: str = "") -> None:
        """Close the connection."""
        await self.socket.close(code, reason)

    def drop(self) -> None:
        """Break the connection."""
        self.socket.transport.abort()

    async def hold(self) -> None:
        """Do nothing until the client has gone."""
        await self.socket.wait_closed()


Answer = Callable[[str, str], tuple[str, bytes]]
Script = Callable[[Dialogue], Awaitable[None]]


async def deregistered(dialogue: Dialogue) -> None:
    """End the client for good."""
    await dialogue.close(4409, "deregistered")


@asynccontextmanager
async def serving(*scripts: Script, answer: Answer | None = None) -> AsyncIterator[str]:
    """A server whose n-th connection follows the n-th script once `auth` has come; each script must have its turn.

    Args:
        scripts: of the connections.
        answer: returns the type and the bytes of a document, from the path that is asked for and the server's address.

    Yields:
        The address to connect to.
    """
    left, failures = list(scripts), list[BaseException]()

    async def handle(socket: ServerConnection) -> None:
        dialogue = Dialogue(socket)
        try:
            dialogue.auth = await dialogue.receive()
            assert dialogue.auth["type"] == "auth"
            await left.pop(0)(dialogue)
        except (AssertionError, IndexError, KeyError) as failure:
            failures.append(failure)
            raise

    def process(connection: ServerConnection, request: Request) -> Response | None:
        if request.path == "/ws" or answer is None:
            return None
        kind, document = answer(request.path, f"127.0.0.1:{connection.local_address[1]}")
        headers = Headers({"Content-Type": kind, "Content-Length": str(len(document)), "Connection": "close"})
        return Response(HTTPStatus.OK, "OK", headers, document)

    async with serve(handle, "127.0.0.1", 0, compression=None, process_request=process) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/ws"
    assert not failures, failures
    assert not left, "the client did not connect as often as there are scripts"
