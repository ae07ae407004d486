"""REST calls for tests that make very many: on connections that cost little, each with one call at a time.

`tests.support.clients.Caller` is for all others; a call of it costs this process more than the services.
"""

import asyncio
import contextlib
import re
from typing import Any, Self
from urllib.parse import urlsplit

import orjson

from tests.support.cluster import token

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class RestConnection:
    """One connection to a gateway, kept alive between calls; made by `open`."""

    def __init__(self, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._host = host
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect to the gateway at a URL."""
        address = urlsplit(url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        return cls(address.netloc, reader, writer)

    async def post(self, user_id: str, call: str, **body: Any) -> tuple[int, Any]:
        """Make a call as a user; the status, and what the JSON of the answer says.

        Raises:
            EOFError, ConnectionError: the gateway closed the connection.
        """
        content = orjson.dumps(body)
        self._writer.write(
            f"POST /api/v1/{call} HTTP/1.1\r\nHost: {self._host}\r\nAuthorization: Bearer {token(user_id)}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode()
            + content
        )
        head = await self._reader.readuntil(_END_OF_HEAD)
        length = _LENGTH.search(head)
        assert length is not None, head
        answer = await self._reader.readexactly(int(length[1]))
        return int(head.split(b" ", 2)[1]), orjson.loads(answer)

    async def close(self) -> None:
        """End the connection, if the gateway has not."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()
