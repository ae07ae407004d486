"""Many WebSocket clients in one process, each of which keeps a journal of what it received.

    python -m tests.chaos.clients PLAN FOLDER

PLAN is a JSON file: a list of clients, each with `name`, `url`, `auth` (its first frame) and `channels`. Their journals
go to FOLDER by name, in the format of `tests.chaos.check`. The process tells how many are admitted, how much all have
received, and whose connection was closed, as lines of JSON; it ends when its input does.

They are as cheap as can be, so that they keep up with the instances on the same cores.
"""

import argparse
import asyncio
import base64
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from tests.chaos.framing import Opcode, WebSocketFrames, client_frame
from tests.chaos.programs import TELL_EVERY_S, run_until_input_ends, tell

HEARTBEAT_EVERY_S = 5.0
OPEN_AT_ONCE = 32
_JOURNAL_BUFFER = 1 << 16
_END_OF_HEAD = b"\r\n\r\n"


class Client(asyncio.Protocol):
    """One client: a handshake, `auth`, and then whatever comes is written down."""

    def __init__(self, plan: dict[str, Any], folder: Path) -> None:
        self.name: str = plan["name"]
        self.received = 0
        self.why_closed: str | None = None
        self.settled = asyncio.Event()
        """Set once it was admitted, or closed."""
        self.admitted = False
        self._plan = plan
        self._journal = (folder / self.name).open("wb", buffering=_JOURNAL_BUFFER)
        self._journal.write(" ".join(["reads", *plan["channels"]]).encode() + b"\n")
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._upgraded = False
        self._frames = WebSocketFrames()

    async def open(self) -> None:
        """Connect, and return when the server has admitted or refused it."""
        address = urlsplit(self._plan["url"])
        await asyncio.get_running_loop().create_connection(lambda: self, address.hostname, address.port)
        await self.settled.wait()

    def beat(self) -> None:
        """Send a heartbeat."""
        self._send({"type": "heartbeat", "state": "active"})

    def close(self) -> None:
        """End the connection and the journal."""
        if self._transport is not None:
            self._transport.abort()
        self._journal.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        address = urlsplit(self._plan["url"])
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self._send(self._plan["auth"])

    def connection_lost(self, exc: Exception | None) -> None:
        self._note_closed(str(exc or "the connection was closed"))

    def data_received(self, data: bytes) -> None:
        if self._journal.closed:
            return  # it had been read already
        if not self._upgraded:
            data = self._read_head(data)
        for opcode, payload in self._frames.feed(data):
            if opcode == Opcode.TEXT:
                self._take(orjson.loads(payload))
            elif opcode == Opcode.CLOSE:
                self._note_closed(f"{int.from_bytes(payload[:2])} {payload[2:].decode()}")

    def _read_head(self, data: bytes) -> bytes:
        self._head, end, rest = (self._head + data).partition(_END_OF_HEAD)
        if not end:
            return b""
        assert self._head.startswith(b"HTTP/1.1 101"), self._head
        self._upgraded = True
        return rest

    def _take(self, frame: dict[str, Any]) -> None:
        kind = frame["type"]
        if kind == "message.new":
            self.received += 1
            receipt = f"{frame['seq']} {frame['part']} {frame['channel_id']} {frame['message']['message_id']}\n"
            self._journal.write(receipt.encode())
        elif kind == "heartbeat.ok":
            self._journal.write(b"upto %d\n" % frame["seq"])
        elif kind == "auth.ok":
            self.admitted = True
            self.settled.set()

    def _note_closed(self, why: str) -> None:
        self.why_closed = self.why_closed or why
        self.settled.set()

    def _send(self, frame: dict[str, Any]) -> None:
        assert self._transport is not None
        self._transport.write(client_frame(Opcode.TEXT, orjson.dumps(frame)))


async def run(clients: list[Client]) -> None:
    """Open all connections, and then listen until cancelled."""
    for start in range(0, len(clients), OPEN_AT_ONCE):
        await asyncio.gather(*(client.open() for client in clients[start : start + OPEN_AT_ONCE]))
    beating = asyncio.ensure_future(_beat(clients))
    try:
        while True:
            tell(**_figures(clients))
            await asyncio.sleep(TELL_EVERY_S)
    finally:
        beating.cancel()
        for client in clients:
            client.close()


async def _beat(clients: list[Client]) -> None:
    while True:
        for client in clients:
            await asyncio.sleep(HEARTBEAT_EVERY_S / len(clients))
            if client.why_closed is None:
                client.beat()


def _figures(clients: list[Client]) -> dict[str, Any]:
    return {
        "admitted": sum(client.admitted for client in clients),
        "received": sum(client.received for client in clients),
        "closed": {client.name: client.why_closed for client in clients if client.why_closed},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.clients", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("plan", type=Path, help="a JSON file with the clients")
    parser.add_argument("folder", type=Path, help="where the journals go")
    arguments = parser.parse_args()
    plans = orjson.loads(arguments.plan.read_bytes())
    run_until_input_ends(lambda: run([Client(plan, arguments.folder) for plan in plans]))


if __name__ == "__main__":
    main()
