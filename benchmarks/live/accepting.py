"""The processor time that the gateway takes to accept a message, beside one route without any framework.

The gateway is whole: a token is verified, the rate is limited, figures and the line of the access log are written to a
file. The log that holds the messages answers at once: no broker is measured. The other route only decodes the same body
and answers, which any gateway on this server has to do.
"""

import socket
import statistics
from contextlib import ExitStack
from http import HTTPStatus
from http.client import HTTPResponse
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
from services.runtime.exchange import Receive, Response, Scope, Send, send_response
from services.runtime.health import Health
from services.runtime.http import serve_http
from services.runtime.logging import configure_logging
from services.runtime.membership_cache import MembershipCache
from services.runtime.settings import Address
from services.runtime.tokens import TokenVerifier, sign

_CONNECTIONS: Final = 8
_LIMIT: Final = 10_000_000
_SECRET: Final = "a-secret-for-a-benchmark-that-opens-nothing"  # noqa: S105
_TEXT: Final = "Shall we meet at ten? The room is free until eleven, and I would bring the figures of last week."


class _Stores:
    """The log and the memberships: they answer at once."""

    async def append(self, _subject: str, _payload: bytes, *, msg_id: str) -> Appended:
        return Appended(len(msg_id), duplicate=False)

    async def is_member(self, _channel_id: str, _user_id: str) -> bool:
        return True


def _gateway() -> Any:
    stores = cast("Any", _Stores())
    unused = cast("Any", None)
    commands = CommandService(stores, stores, MembershipCache(stores), stores, stores)
    calls = table(commands, unused, unused, unused, unused, unused)
    verifier, limiter = TokenVerifier(("HS256",), secret=_SECRET), RateLimiter(_LIMIT, _LIMIT)
    return gateway_app(Gateway(calls, verifier, limiter, Health(), CollectorRegistry(), max_body=1 << 20))


def _route() -> Any:
    decoder = msgspec.json.Decoder(SendMessage)
    answer = Response(202, msgspec.json.encode(SentMessage(new_message_id(), new_ulid())), b"application/json")

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        decoder.decode((await receive())["body"])
        await send_response(send, answer)

    return app


_APPS: Final = {"gateway": _gateway, "route": _route}


def _serve(name: str, leader: Leader) -> None:
    configure_logging("json")
    uvloop.run(_serve_until_left(name, leader))


async def _serve_until_left(name: str, leader: Leader) -> None:
    async with serve_http(_APPS[name](), Address("127.0.0.1", 0)) as address:
        leader.send(address.port)
        await leader.receive_async()


def _send(connections: list[socket.socket], messages: int) -> None:
    """Send messages, one at a time on each connection, and check every answer."""
    head = (
        "POST /api/v1/chat.sendMessage HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {sign(_SECRET, 'alice', ttl=3_600)}\r\nContent-Length: "
    )
    for number in range(messages // len(connections)):
        for at, connection in enumerate(connections):
            body = msgspec.json.encode({"channel": "general", "text": _TEXT, "client_msg_id": f"c-{number}-{at}"})
            connection.sendall(f"{head}{len(body)}\r\n\r\n".encode() + body)
        for connection in connections:
            response = HTTPResponse(connection)
            response.begin()
            answer = response.read()
            if response.status != HTTPStatus.ACCEPTED:
                raise BenchError(f"a message was not accepted: {answer!r}")
            msgspec.json.decode(answer, type=SentMessage)


def measure(messages: int, rounds: int) -> dict[str, float]:
    """Processor seconds for a message, by name of the application: the median of the rounds, which take turns."""
    servers: dict[str, tuple[int, list[socket.socket]]] = {}
    taken: dict[str, list[float]] = {name: [] for name in _APPS}
    with ExitStack() as stack:
        for name in _APPS:
            worker = stack.enter_context(Worker(name, _serve, name))
            address = "127.0.0.1", worker.receive(int)
            opened = [stack.enter_context(socket.create_connection(address)) for _ in range(_CONNECTIONS)]
            servers[name] = worker.pid, opened
        for _ in range(1 + rounds):
            for name, (pid, connections) in servers.items():
                before = processor_seconds(pid)
                _send(connections, messages)
                taken[name].append((processor_seconds(pid) - before) / messages)
    return {name: statistics.median(each[1:]) for name, each in taken.items()}
