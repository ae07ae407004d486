"""The connection to NATS: it keeps nothing to be sent later, and never gives up.

The one module that uses private names of nats-py; `tests/adapters/test_nats_connection.py` pins them. What they are
needed for:

- Bytes that a lost connection left unsent are dropped: nats-py would send them after the reconnect, and an event
  whose publisher was told "unavailable" would be stored after all.
- A request whose connection is lost is told so at once, and not when its time is up.
- A flush that times out must not cancel its future: the pong that comes late would then stop the reading task.
- An `-ERR` of the server ends a connection, not the client.
- Many commands go out in one write.
- Deliveries of consumers go past nats-py's parser.
- What stands in a URL as user, password or token is percent-decoded, and sent to servers that others told of, too.
- A URL that begins with `tls://` is never spoken to in the clear.
- A connection whose TLS handshake failed is closed without waiting for it: asyncio would wait without end.
"""

# ruff: noqa: SLF001 - see above

import asyncio
import os
import random
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import ParseResult, unquote, urlsplit

import structlog
from nats import errors
from nats.aio.client import Client, Server, Srv
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport

from fanout import DeliveryBuffer
from fanout.errors import FanoutError, OutcomeUnknown, TooLarge, Unavailable
from services.adapters.nats.splitting import SplittingParser
from services.runtime.certificates import untrusted

ANSWER_WITHIN_S: Final = 2.0
"""How long a request waits for its answer."""
LEAST_PAYLOAD: Final = 8_192
"""Bytes that the server must take in one message: what the services tell each other has to fit."""

_CONNECT_WITHIN_S: Final = 2
_FIRST_RECONNECT_WAIT_S: Final = 0.02
"""Before the first attempt: mostly a connection was cut, and the server is there."""
_RECONNECT_WAIT_S: Final = 0.25
_PING_INTERVAL_S: Final = 5
_UNSENT_LIMIT: Final = 8 * 1024 * 1024
_UNSENT_FOR_MS: Final = 10_000
_PER_HEADER: Final = 4
_PER_HEADERS: Final = 16
"""Bytes: a colon, a space and the line's end of each header; the version and the empty line of all."""
_PERMISSIONS: Final = "permissions violation"
_UNREACHABLE: Final = (
    OSError,  # a timeout is one too
    errors.ConnectionClosedError,
    errors.ConnectionDrainingError,
    errors.ConnectionReconnectingError,
    errors.NoRespondersError,
    errors.NoServersError,
    errors.OutboundBufferLimitError,
    errors.StaleConnectionError,
)

_log = structlog.get_logger(__name__)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn the client's errors that mean "not now" into `Unavailable`.

    Args:
        what: what was attempted, for the error's text.

    Raises:
        Unavailable: the server cannot be reached, or gave no answer in time.
    """
    try:
        yield
    except _UNREACHABLE as error:
        raise Unavailable(f"{what}: {str(error) or type(error).__name__}") from error


class Connection(Client):
    """A connection to NATS; made by `connect`."""

    def __init__(self) -> None:
        super().__init__()
        self.dropped = 0
        """Messages that slow handlers never saw."""
        self._listeners: set[Callable[[], None]] = set()
        self._on_disconnect: list[Callable[[], None]] = []
        self.troubles: dict[str, None] = {}
        """Why there is no connection, each reason once, in the order of their coming."""
        self._ps: SplittingParser = SplittingParser(self)

    def on_reconnect(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` after each reconnect; the function returned ends that."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    def on_disconnect(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each loss of the connection, before there is another."""
        self._on_disconnect.append(listener)

    async def call(
        self,
        subject: str,
        payload: bytes = b"",
        *,
        headers: dict[str, str] | None = None,
        within: float = ANSWER_WITHIN_S,
    ) -> Msg:
        """Send a request and wait for its answer.

        Args:
            subject: where the request goes.
            payload: the request.
            headers: sent with it.
            within: seconds to wait.

        Raises:
            Unavailable: not connected, or nobody listens; nothing was done.
            OutcomeUnknown: the request was sent, and no answer came in time or before the connection was lost.
            TooLarge: the server does not take so many bytes.
        """
        self._refuse_unless_ready()
        self._refuse_too_large(payload, headers or {})
        with translated(f"no answer from {subject}"):
            try:
                async with asyncio.timeout(within):
                    # A timeout of nats-py's own would be `asyncio.wait_for`, which on Python 3.11 answers a
                    # cancellation that comes in the same turn as the answer with the answer: a caller that waits for
                    # the task's end hangs.
                    return await self.request(subject, payload, timeout=None, headers=headers)  # type: ignore[arg-type]
            except (OSError, errors.StaleConnectionError) as error:  # a timeout is an OSError
                why = str(error) or f"nothing came within {within:g} s"
                raise OutcomeUnknown(f"no answer from {subject}: {why}") from error

    async def write(self, *commands: bytes) -> None:
        """Send encoded commands in one write, without waiting for the server. Where one is cut does not matter.

        Raises:
            Unavailable: not connected, or the server takes nothing in.
        """
        self._refuse_unless_ready()
        for piece in commands:
            await self._send_command(piece)
        if self._flush_queue is not None and self._flush_queue.empty():
            await self._flush_pending()

    async def ping(self, within: float = ANSWER_WITHIN_S) -> None:
        """Return when the server has taken in all that was sent before.

        Raises:
            Unavailable: not connected, or no answer within that many seconds.
        """
        self._refuse_unless_ready()
        with translated("the NATS server does not answer"):
            await self._round_trip(within)

    def take(self, subscription: Subscription, intake: DeliveryBuffer, arrived: Callable[[], None]) -> None:
        """Give what a consumer delivers to a subscription to an intake; its callback gets the rest.

        Args:
            subscription: one of this connection's.
            intake: takes the deliveries in.
            arrived: called when some came.
        """
        self._ps.take(subscription._id, intake, arrived)

    async def flush(self, timeout: float = ANSWER_WITHIN_S) -> None:  # noqa: ASYNC109 - the overridden signature
        """As `Client.flush`, but safe to time out."""
        await self._round_trip(timeout)

    async def retire(self, subscription: Subscription) -> None:
        """End a subscription once what was on its way has been handled."""
        try:
            if self.is_connected:
                await self._send_unsubscribe(subscription._id)
                await self.ping()
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    await subscription._pending_queue.join()
        except (Unavailable, TimeoutError) as error:
            _log.debug("nats.unsubscribed_without_answer", subject=subscription.subject, error=str(error))
        finally:
            self._ps.leave(subscription._id)
            subscription._stop_processing()
            self._remove_sub(subscription._id)

    async def close(self) -> None:
        """Send what is written, and close; a server that takes nothing in is not waited for."""
        if self._flush_queue is None:
            return  # it never got as far as a socket
        try:
            if self.is_connected:
                await self.ping()
        except Unavailable as error:
            _log.warning("nats.closed_with_unsent", bytes=self.pending_data_size, error=str(error))
            self._drop_unsent()
            self._abort()
        if not self.is_connected:
            self._forget_transport()
        await super().close()

    @property
    def _writer(self) -> asyncio.StreamWriter | None:
        return self._transport._io_writer if isinstance(self._transport, TcpTransport) else None

    def _abort(self) -> None:
        if (writer := self._writer) is not None:
            writer.transport.abort()

    def _forget_transport(self) -> None:
        if isinstance(self._transport, TcpTransport):
            self._abort()
            self._transport = None

    def _drop_unsent(self) -> None:
        self._pending.clear()
        self._pending_data_size = 0

    def _end_waits(self) -> None:
        for answer in list(self._resp_map.values()):
            if not answer.done():
                answer.set_exception(errors.StaleConnectionError())
        for pong in self._pongs:
            pong.cancel()
        self._pongs.clear()

    def _refuse_unless_ready(self) -> None:
        if not self.is_connected:
            raise Unavailable("there is no connection to NATS")
        if self.pending_data_size > _UNSENT_LIMIT:
            raise Unavailable("the NATS server takes nothing in")

    def _refuse_too_large(self, payload: bytes, headers: Mapping[str, str]) -> None:
        # nats-py counts the payload alone, and the server ends the connection of whoever sends too much.
        length = len(payload) + sum(len(name) + len(value.encode()) + _PER_HEADER for name, value in headers.items())
        if length + _PER_HEADERS > self.max_payload:
            raise TooLarge(f"{length} bytes; the NATS server takes {self.max_payload}")

    async def _round_trip(self, within: float) -> None:
        pong: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        await self._send_ping(pong)
        done, _ = await asyncio.wait({pong}, timeout=within)
        if not done:
            raise errors.FlushTimeoutError
        if pong.cancelled():
            raise errors.StaleConnectionError

    async def _connect_to_server(self, s: Srv) -> None:
        await super()._connect_to_server(s)
        if (writer := self._writer) is not None:
            _bound_unsent_time(writer.get_extra_info("socket").fileno())

    def _connect_command(self) -> bytes:
        if (server := self._current_server) is not None:
            if server.uri.scheme == "tls" and not self._is_encrypted():
                raise errors.Error("the server offers no TLS, and the URL asks for it")
            # One that another server told of has no credentials of its own, and gets those that were sent last.
            self.options |= credentials_of(server.uri)
        return super()._connect_command()

    def _is_encrypted(self) -> bool:
        return (writer := self._writer) is not None and writer.get_extra_info("ssl_object") is not None

    async def _process_err(self, err_msg: str) -> None:
        error = errors.Error(f"nats: {err_msg}")
        self._err = error
        if _PERMISSIONS in err_msg:
            await self.note_error(error)
        else:
            await self._process_op_err(error)

    async def note_error(self, error: Exception) -> None:
        """nats-py's error callback."""
        said = untrusted(error) or str(error) or _without_text(error)
        if isinstance(error, errors.SlowConsumerError):
            self._note_slow_consumer(error)
        elif self.is_connected:
            _log.warning("nats.error", error=said)
        elif said not in self.troubles:
            self.troubles[said] = None
            # At the start it is the answer of `connect`; afterwards nobody else would hear of it.
            write = _log.warning if self.options["allow_reconnect"] else _log.debug
            write("nats.still_down", error=said)

    def _note_slow_consumer(self, error: errors.SlowConsumerError) -> None:
        self.dropped += 1
        if self.dropped.bit_count() == 1:  # each power of two: the log must not drown as well
            _log.warning("nats.slow_handler", subject=error.subject, dropped_in_all=self.dropped)

    async def note_disconnect(self) -> None:
        """nats-py's disconnect callback, called before it tries to connect again."""
        self._drop_unsent()
        self._end_waits()
        for listener in self._on_disconnect:
            listener()
        if not self.is_closed:
            _log.warning("nats.disconnected")

    async def note_reconnect(self) -> None:
        """nats-py's reconnect callback."""
        self.troubles.clear()
        _log.info("nats.reconnected")
        for listener in list(self._listeners):
            listener()


async def connect(url: str, *, name: str) -> Connection:
    """Connect, and stay connected until closed.

    Args:
        url: `nats://host:port`, or several of one cluster, comma-separated; `tls://` where the connection must be
            encrypted. `user:password@` or `token@` may stand before the host, percent-encoded.
        name: what the server shows for this connection.

    Raises:
        Unavailable: no server answers there now, or lets us in.
        FanoutError: it takes messages that are too short for the services.
    """
    connection = Connection()
    servers = [server.strip() for server in url.split(",")]
    try:
        # For the first connection a failure is an answer. Afterwards it is an outage to sit out.
        await connection.connect(
            servers=servers,
            name=name,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=_RECONNECT_WAIT_S,  # type: ignore[arg-type]  # declared int, used as seconds
            reconnect_to_server_handler=_next_server,
            connect_timeout=_CONNECT_WITHIN_S,
            ping_interval=_PING_INTERVAL_S,
            pending_size=0,  # so that commands of one `write` are queued without a pause, and nobody's come between
            error_cb=connection.note_error,
            disconnected_cb=connection.note_disconnect,
            reconnected_cb=connection.note_reconnect,
        )
    except (OSError, errors.Error) as error:
        await connection.close()
        why = "; ".join(connection.troubles) or str(error)
        raise Unavailable(f"no NATS server lets us in at {without_credentials(url)}: {why}") from error
    connection.options |= {"allow_reconnect": True, "max_reconnect_attempts": -1}
    if connection.max_payload < LEAST_PAYLOAD:
        await connection.close()
        raise FanoutError(
            f"the NATS server takes messages of {connection.max_payload:,} bytes only: "
            f"set its max_payload to at least {LEAST_PAYLOAD:,}, better to 1MB"
        )
    return connection


def credentials_of(uri: ParseResult) -> dict[str, str | None]:
    """What stands in a URL before the `@`, percent-decoded: a user and a password, or one word, which is a token.

    Returns:
        `user`, `password` and `token` as nats-py calls them, those that are not there None; empty where nothing stands.
    """
    if uri.username is None:
        return {}
    first = unquote(uri.username)
    if uri.password is None:
        return {"user": None, "password": None, "token": first}
    return {"user": first, "password": unquote(uri.password), "token": None}


def without_credentials(url: str) -> str:
    """The URLs with what stands before an `@` taken out."""
    parts = [urlsplit(one) for one in url.split(",")]
    return ",".join(part._replace(netloc=re.sub(r".*@", "", part.netloc)).geturl() for part in parts)


def _without_text(error: Exception) -> str:
    if isinstance(error, TimeoutError):  # a server of another kind waits for the client to speak first
        return f"nothing there greets as NATS does within {_CONNECT_WITHIN_S} s"
    return type(error).__name__


def _next_server(servers: list[Server], _info: dict[str, Any]) -> tuple[Server, float]:
    server = random.choice(servers)  # noqa: S311 - spreads load, guards nothing
    wait = _RECONNECT_WAIT_S if server.reconnects else _FIRST_RECONNECT_WAIT_S
    return server, wait * random.uniform(1, 2)  # noqa: S311


def _bound_unsent_time(fd: int) -> None:
    """Let the kernel end a connection whose peer takes nothing in.

    Closing a connection waits until its buffer is sent, so a frozen server would hold up the reconnect for ever.
    """
    if option := getattr(socket, "TCP_USER_TIMEOUT", None):
        with socket.socket(fileno=os.dup(fd)) as same_socket:
            same_socket.setsockopt(socket.IPPROTO_TCP, option, _UNSENT_FOR_MS)
