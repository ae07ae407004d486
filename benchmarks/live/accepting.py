"""What accepting a message costs the process of the gateway, beside one route without any framework on the same server.

The gateway is whole: a token is verified, the rate is limited, figures and the line of the access log are written to a
file. The log that holds the messages answers at once: no broker is measured. The other route only decodes the same body
and answers, which any gateway on this server has to do.
"""

import socket
import statistics
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final, cast

import msgspec
import uvloop
from prometheus_client import CollectorRegistry

from benchmarks.errors import BenchError
from benchmarks.live.processor_time import processor_seconds
from benchmarks.processes import Leader, Worker
from fanout.api.messages import SendMessage, SentMessage
from fanout.ids import new_message_id, new_ulid
from fanout.ports.log import Appended
from services.command.service import CommandService
from services.gateway.app import Gateway, gateway_app
from services.gateway.limiter import RateLimiter
from services.gateway.table import table
from services.runtime.health import Health
from services.runtime.http import serve_http
from services.runtime.logging import configure_logging
from services.runtime.settings import Address
from services.runtime.tokens import TokenVerifier, sign

CONNECTIONS: Final = 8
LIMIT: Final = 10_000_000
SECRET: Final = "a-secret-for-a-benchmark-that-opens-nothing"  # noqa: S105
TEXT: Final = "Shall we meet at ten? The room is free until eleven, and I would bring the figures of last week."


class _Log:
    """Answers at once, and keeps nothing."""

    async def append(self, _subject: str, _payload: bytes, *, msg_id: str) -> Appended:
        return Appended(len(msg_id), duplicate=False)


class _Memberships:
    async def is_member(self, _channel_id: str, _user_id: str) -> bool:
        return True


def _gateway() -> Any:
    calls = table(CommandService(cast("Any", _Log()), cast("Any", _Memberships())), cast("Any", None))
    verifier, limiter = TokenVerifier(("HS256",), secret=SECRET), RateLimiter(LIMIT, LIMIT)
    return gateway_app(Gateway(calls, verifier, limiter, Health(), CollectorRegistry(), max_body=1 << 20))


def _route() -> Any:
    decoder = msgspec.json.Decoder(SendMessage)
    answer = msgspec.json.encode(SentMessage(new_message_id(), new_ulid()))
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        decoder.decode((await receive())["body"])
        await send({"type": "http.response.start", "status": 202, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app


APPS: Final[dict[str, Callable[[], Any]]] = {"gateway": _gateway, "route": _route}


def _serve(name: str, leader: Leader) -> None:
    configure_logging("json")
    uvloop.run(_serve_until_left(name, leader))


async def _serve_until_left(name: str, leader: Leader) -> None:
    async with serve_http(APPS[name](), Address("127.0.0.1", 0)) as address:
        leader.send(address.port)
        await leader.receive_async()


class _Client(ExitStack):
    """Sends messages over connections that stay open, one at a time on each, and checks every answer."""

    def __init__(self, port: int, token: str) -> None:
        super().__init__()
        address = ("127.0.0.1", port)
        self._connections = [self.enter_context(socket.create_connection(address)) for _ in range(CONNECTIONS)]
        self._head = (
            "POST /api/v1/chat.sendMessage HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {token}\r\nContent-Length: "
        )
        self._sent = 0

    def send(self, messages: int) -> None:
        for _ in range(messages // CONNECTIONS):
            for connection in self._connections:
                connection.sendall(self._request())
            for connection in self._connections:
                _check(connection)

    def _request(self) -> bytes:
        self._sent += 1
        body = msgspec.json.encode({"channel": "general", "text": TEXT, "client_msg_id": f"c-{self._sent}"})
        return f"{self._head}{len(body)}\r\n\r\n".encode() + body


def _check(connection: socket.socket) -> None:
    answer = b""
    while not answer.endswith(b"}") and (part := connection.recv(4096)):  # the server writes head and body apart
        answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 202 ") or not msgspec.json.decode(body, type=SentMessage).message_id:
        raise BenchError(f"a message was not accepted: {answer[:500]!r}")


def measure(messages: int, rounds: int) -> dict[str, float]:
    """Processor seconds for a message, by name of the application: the median of the rounds, which take turns."""
    token = sign(SECRET, "alice", ttl=3_600)
    with ExitStack() as stack:
        pids, clients, taken = {}, {}, dict[str, list[float]]()
        for name in APPS:
            worker = stack.enter_context(Worker(name, _serve, name))
            pids[name], clients[name] = worker.pid, stack.enter_context(_Client(worker.receive(int), token))
        for _ in range(1 + rounds):
            for name, client in clients.items():
                before = processor_seconds(pids[name])
                client.send(messages)
                taken.setdefault(name, []).append((processor_seconds(pids[name]) - before) / messages)
        return {name: statistics.median(each[1:]) for name, each in taken.items()}
