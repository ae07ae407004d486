"""Many WebSocket clients in one process, each of which keeps a journal of what it received.

    python -m tests.chaos.clients PLAN FOLDER

PLAN is a JSON file: a list of clients, each with `name`, `urls` (of the instances; it begins with the first), `token`,
`device_id` and `channels`. Their journals go to FOLDER by name, in the format of `tests.chaos.check`. The process tells
how many are admitted, how much all have received, how often they came back, and who missed something or ended, as lines
of JSON; it ends when its input does.

They follow the protocol of `fanout.client`, so they connect again and resume. Their sockets are as cheap as can be, so
that they keep up with the instances on the same cores.
"""

import argparse
import asyncio
import base64
import os
import random
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from fanout.client import (
    AuthOk,
    Catchup,
    ClientProtocol,
    ClientSettings,
    Closing,
    Delays,
    Device,
    Disconnected,
    Event,
    FullRefreshRequired,
    HeartbeatOk,
    MessageNew,
    Phase,
    ResumeDropped,
    UnreadCounts,
)
from tests.chaos.framing import Opcode, WebSocketFrames, client_frame
from tests.chaos.programs import TELL_EVERY_S, run_until_input_ends, tell

OPEN_AT_ONCE = 32
SETTINGS = ClientSettings(answer_within_s=60.0, delays=Delays(0.5, 3.0))
"""The servers of a storm share their cores with everything else, and are sometimes away: that is no reason to leave."""
_JOURNAL_BUFFER = 1 << 16
_END_OF_HEAD = b"\r\n\r\n"


class Link(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, client: "Client", url: str) -> None:
        self._client = client
        self._address = urlsplit(url)
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._upgraded = False
        self._closing = Closing(None, "")
        self._frames = WebSocketFrames()

    async def open(self) -> None:
        """Connect; raises an `OSError` where nobody listens."""
        where = str(self._address.hostname), int(self._address.port or 0)
        await asyncio.get_running_loop().create_connection(lambda: self, *where)

    def send(self, text: str) -> None:
        """Send a frame."""
        if self._transport is not None:
            self._transport.write(client_frame(Opcode.TEXT, text.encode()))

    def abort(self) -> None:
        """Break the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET {self._address.path} HTTP/1.1\r\nHost: {self._address.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.lost(self, self._closing)

    def data_received(self, data: bytes) -> None:
        if not self._upgraded:
            data = self._read_head(data)
        for opcode, payload in self._frames.feed(data):
            if opcode == Opcode.TEXT:
                self._client.received(payload.decode())
            elif opcode == Opcode.CLOSE:
                self._closing = Closing(int.from_bytes(payload[:2]), payload[2:].decode())
                self.abort()
        self._client.act()

    def _read_head(self, data: bytes) -> bytes:
        self._head, end, rest = (self._head + data).partition(_END_OF_HEAD)
        if not end:
            return b""
        assert self._head.startswith(b"HTTP/1.1 101"), self._head
        self._upgraded = True
        self._client.opened()
        return rest


class Client:
    """One client: it writes down whatever comes, over all its connections."""

    def __init__(self, plan: dict[str, Any], folder: Path) -> None:
        self.name: str = plan["name"]
        self.received_count = 0
        self.reconnects = 0
        self.missed: list[str] = []
        """What it was told that it missed."""
        self.admitted = asyncio.Event()
        self._urls: list[str] = plan["urls"]
        self._token: str = plan["token"]
        self._clock = asyncio.get_running_loop().time
        self.protocol = ClientProtocol(Device(plan["device_id"]), self._clock(), settings=SETTINGS)
        self._link: Link | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._journal = (folder / self.name).open("wb", buffering=_JOURNAL_BUFFER)
        self._journal.write(" ".join(["reads", *plan["channels"]]).encode() + b"\n")

    async def open(self) -> None:
        """Connect, and return once it was admitted."""
        self.act()
        await self.admitted.wait()

    def close(self) -> None:
        """End the connection and the journal."""
        self.protocol.close()
        self.act()
        if self._link is not None:
            self._link.abort()
        self._journal.close()

    def opened(self) -> None:
        """The connection is one for WebSocket frames now."""
        self.protocol.connection_made(self._token, self._clock())

    def received(self, text: str) -> None:
        """A frame has come."""
        self.protocol.receive(text, self._clock())

    def lost(self, link: Link | None, closing: Closing) -> None:
        """A connection has ended."""
        if link is self._link:
            self._link = None
            self.protocol.connection_lost(closing, self._clock())
            self.act()

    def act(self) -> None:
        """Do all that the protocol asks for now, and come back when more is due."""
        if self._journal.closed:
            return
        for event, _ in self.protocol.take_events():
            self._write(event)
        if self._link is not None:
            for frame in self.protocol.take_frames():
                self._link.send(frame)
            if self.protocol.gives_up is not None:
                self._link.abort()
        elif self.protocol.phase is Phase.CONNECTING and self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
        self._set_timer()

    async def _connect(self) -> None:
        link = Link(self, self._urls[0])
        self._link = link
        try:
            await link.open()
        except OSError as error:
            self._urls.append(self._urls.pop(0))
            self._connecting = None
            self.lost(link, Closing(None, str(error)))
        else:
            self._connecting = None

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due = self.protocol.deadline
        self._timer = None if due is None else asyncio.get_running_loop().call_at(due, self._handle_deadline)

    def _handle_deadline(self) -> None:
        self.protocol.handle_deadline(self._clock())
        self.act()

    def _write(self, event: Event) -> None:
        match event:
            case MessageNew(seq=seq, part=part, channel_id=channel, message=message):
                self.received_count += 1
                self._journal.write(f"{seq} {part} {channel} {message.message_id}\n".encode())
            case HeartbeatOk(seq=seq):
                self._journal.write(b"upto %d\n" % seq)
            case AuthOk():
                self.admitted.set()
            case Disconnected():
                self.reconnects += 1
                random.shuffle(self._urls)
            case Catchup() | UnreadCounts() | FullRefreshRequired() | ResumeDropped():
                self.missed.append(f"{type(event).__name__} after {self.received_count:,} messages")


async def run(plans: list[dict[str, Any]], folder: Path) -> None:
    """Open all connections, and then listen until cancelled."""
    clients = [Client(plan, folder) for plan in plans]
    for start in range(0, len(clients), OPEN_AT_ONCE):
        await asyncio.gather(*(client.open() for client in clients[start : start + OPEN_AT_ONCE]))
    try:
        while True:
            tell(**_figures(clients))
            await asyncio.sleep(TELL_EVERY_S)
    finally:
        for client in clients:
            client.close()


def _figures(clients: list[Client]) -> dict[str, Any]:
    return {
        "admitted": sum(client.admitted.is_set() for client in clients),
        "received": sum(client.received_count for client in clients),
        "reconnects": sum(client.reconnects for client in clients),
        "missed": {client.name: client.missed for client in clients if client.missed},
        "closed": {client.name: str(client.protocol.ending) for client in clients if client.protocol.ending},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.clients", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("plan", type=Path, help="a JSON file with the clients")
    parser.add_argument("folder", type=Path, help="where the journals go")
    arguments = parser.parse_args()
    plans = orjson.loads(arguments.plan.read_bytes())
    run_until_input_ends(lambda: run(plans, arguments.folder))


if __name__ == "__main__":
    main()
