"""Calls on one connection, against a server that the test plays."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest

from tests.support.rest_connections import RestConnection


class Gateway:
    """Keeps what it was sent, and answers what the test says."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.bodies: list[object] = []
        self.answer = b""
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while self.answer:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            length = int(head.partition(b"Content-Length: ")[2].split()[0])
            self.heads.append(head)
            self.bodies.append(orjson.loads(await reader.readexactly(length)))
            writer.write(self.answer)
        writer.close()


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    gateway = Gateway()
    async with await asyncio.start_server(gateway.serve, "127.0.0.1", 0) as server:
        gateway.url = "http://{}:{}".format(*server.sockets[0].getsockname())
        yield gateway


async def test_calls_follow_each_other_on_one_connection(gateway: Gateway) -> None:
    gateway.answer = b'HTTP/1.1 202 Accepted\r\ndate: now\r\ncontent-length: 20\r\n\r\n{"message_id": "m1"}'
    connection = await RestConnection.open(gateway.url)
    for text in ("one", "two"):
        answer = await connection.post("alice", "chat.sendMessage", channel="general", text=text)
        assert answer == (202, {"message_id": "m1"})
    await connection.close()
    assert gateway.bodies == [{"channel": "general", "text": "one"}, {"channel": "general", "text": "two"}]
    assert all(head.startswith(b"POST /api/v1/chat.sendMessage HTTP/1.1\r\n") for head in gateway.heads)
    assert all(b"\r\nAuthorization: Bearer ey" in head for head in gateway.heads)


async def test_a_refusal_is_told_by_its_status(gateway: Gateway) -> None:
    gateway.answer = b'HTTP/1.1 403 Forbidden\r\nContent-Length: 8\r\n\r\n{"a": 1}'
    connection = await RestConnection.open(gateway.url)
    assert await connection.post("alice", "chat.sendMessage") == (403, {"a": 1})
    await connection.close()


async def test_an_answer_that_breaks_off_is_an_error(gateway: Gateway) -> None:
    gateway.answer = b""
    connection = await RestConnection.open(gateway.url)
    with pytest.raises((EOFError, ConnectionError)):
        await connection.post("alice", "chat.sendMessage")
    await connection.close()
