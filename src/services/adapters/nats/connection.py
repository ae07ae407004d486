"""The connection to NATS. It keeps no bytes to be sent after a reconnect, and it reconnects until it is closed.

This is the one module that uses private names of nats-py; `tests/adapters/test_nats_connection.py` pins them. They are
needed for this:

- Bytes that a lost connection left unsent are dropped: nats-py would send them after the reconnect, and an event
  whose publisher got `Unavailable` would be stored after all.
- A request fails at once when its connection is lost, and not only when its time is up.
- A flush that times out must not cancel its future: a late pong would then stop the reading task.
- An answered ping tells until when nothing can have been lost.
- An `-ERR` of the server ends a connection, not the client.
- Many commands are sent in one write.
- Deliveries of consumers bypass nats-py's parser.
- User, password and token of a URL are percent-decoded, and are also sent to servers that another server announced.
- A server whose URL begins with `tls://` is never used without encryption.
- A write to a connection that uvloop has closed is a lost connection, not a failure of the program.
- A connection whose TLS handshake failed is closed without waiting for it: asyncio would wait without end.
"""

# ruff: noqa: SLF001 - see above

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import structlog
from nats import errors
from nats.aio.client import Client, Server, Srv
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport

from fanout import DeliveryBuffer, machine
from fanout.errors import FanoutError, OutcomeUnknown, TooLarge, Unavailable
from services.adapters.nats.splitting import SplittingParser
from services.adapters.nats.transport import LossyTransport, bound_unsent_time
from services.adapters.nats.urls import credentials_of, without_credentials
from services.runtime.certificates import untrusted
from services.runtime.gaps import Gaps

ANSWER_WITHIN_S: Final = 2.0
"""How long a request waits for its answer."""
LEAST_PAYLOAD: Final = 8_192
"""The server must accept messages of so many bytes: the notices between the services have to fit."""

_CONNECT_WITHIN_S: Final = 2
_FIRST_RECONNECT_WAIT_S: Final = 0.02
"""The pause before the first attempt. It is short, because mostly the connection was cut and the server runs."""
_RECONNECT_WAIT_S: Final = 0.25
_PING_INTERVAL_S: Final = 5
_UNSENT_LIMIT: Final = 8 * 1024 * 1024
_PER_HEADER: Final = 4
_PER_HEADERS: Final = 16
"""Bytes beside names and values: a colon, a space and the line's end of each header; the version and an empty line."""
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


class NatsConnection(Client):
    """A connection to NATS; made by `connect`."""

    def __init__(self) -> None:
        super().__init__()
        self.dropped = 0
        """How many messages were dropped because their handler was slow."""
        self._listeners: set[Callable[[], None]] = set()
        self._on_disconnect: list[Callable[[], None]] = []
        self.troubles: dict[str, None] = {}
        """Why there is no connection: each reason once, the oldest first."""
        self._ps: SplittingParser = SplittingParser(self)
        self.gaps = Gaps()
        """When messages of the bus may have been lost, either way."""
        self._nothing_lost_until = machine.monotonic_s()

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
            TooLarge: the server accepts no message of that length.
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
        """Send encoded commands in one write, without waiting for the server. A command may be given in several pieces.

        Raises:
            Unavailable: not connected, or the server does not read what was sent.
        """
        self._refuse_unless_ready()
        for piece in commands:
            await self._send_command(piece)
        if self._flush_queue is not None and self._flush_queue.empty():
            await self._flush_pending()

    async def ping(self, within: float = ANSWER_WITHIN_S) -> None:
        """Return when the server has read everything that was sent before.

        Raises:
            Unavailable: not connected, or no answer within that many seconds.
        """
        self._refuse_unless_ready()
        with translated("the NATS server does not answer"):
            await self._round_trip(within)

    def take(self, subscription: Subscription, buffer: DeliveryBuffer, arrived: Callable[[], None]) -> None:
        """Put what a consumer delivers to a subscription into a buffer; the subscription's callback gets the rest.

        Args:
            subscription: one of this connection's.
            buffer: takes the deliveries.
            arrived: called when some came.
        """
        self._ps.take(subscription._id, buffer, arrived)

    async def flush(self, timeout: float = ANSWER_WITHIN_S) -> None:  # noqa: ASYNC109 - the overridden signature
        """As `Client.flush`, but safe to time out."""
        await self._round_trip(timeout)

    async def retire(self, subscription: Subscription) -> None:
        """End a subscription after the messages that were on their way have been handled."""
        try:
            self._refuse_unless_ready()
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
        """Send what was written, and close; do not wait for a server that reads nothing."""
        self.gaps.close()
        if self._flush_queue is None:
            return  # it never had a socket
        try:
            if self.is_connected:
                await self.ping()
        except Unavailable as error:
            _log.warning("nats.closed_with_unsent", bytes=self.pending_data_size, error=str(error))
            self._drop_unsent()
            self._abort()
        if self._is_away():
            self._forget_transport()
        await super().close()

    @property
    def _writer(self) -> asyncio.StreamWriter | None:
        return self._transport._io_writer if isinstance(self._transport, TcpTransport) else None

    def _is_away(self) -> bool:
        """Whether there is no connection. nats-py learns of the loss of one some turns of the loop later."""
        return not self.is_connected or ((writer := self._writer) is not None and writer.transport.is_closing())

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
        if self._is_away():
            raise Unavailable("there is no connection to NATS")
        if self.pending_data_size > _UNSENT_LIMIT:
            raise Unavailable("the NATS server reads nothing from the connection")

    def _refuse_too_large(self, payload: bytes, headers: Mapping[str, str]) -> None:
        # nats-py counts the payload alone, and the server closes the connection of a client that sends too much.
        length = len(payload) + sum(len(name) + len(value.encode()) + _PER_HEADER for name, value in headers.items())
        if length + _PER_HEADERS > self.max_payload:
            raise TooLarge(f"{length} bytes; the NATS server accepts {self.max_payload}")

    async def _round_trip(self, within: float) -> None:
        pong: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        await self._send_ping(pong)
        done, _ = await asyncio.wait({pong}, timeout=within)
        if not done:
            raise errors.FlushTimeoutError
        if pong.cancelled():
            raise errors.StaleConnectionError

    async def _send_ping(self, future: "asyncio.Future[Any] | None" = None) -> None:
        pong = asyncio.get_running_loop().create_future() if future is None else future
        pong.add_done_callback(partial(self._note_pong, machine.monotonic_s()))
        await super()._send_ping(pong)

    def _note_pong(self, sent_at: float, pong: "asyncio.Future[Any]") -> None:
        if not pong.cancelled():
            self._nothing_lost_until = max(self._nothing_lost_until, sent_at)

    async def _connect_to_server(self, s: Srv) -> None:
        await super()._connect_to_server(s)
        if type(self._transport) is TcpTransport:
            self._transport = LossyTransport(self._transport)
        if (writer := self._writer) is not None:
            bound_unsent_time(writer.get_extra_info("socket").fileno())

    def _connect_command(self) -> bytes:
        if (server := self._current_server) is not None:
            if server.uri.scheme == "tls" and not self._is_encrypted():
                raise errors.Error("the server offers no TLS, and the URL asks for it")
            # A server that another one announced has no credentials in its URL, and gets those that were sent last.
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
            # At the start `connect` raises it; later nobody else would report it.
            write = _log.warning if self.options["allow_reconnect"] else _log.debug
            write("nats.still_down", error=said)

    def _note_slow_consumer(self, error: errors.SlowConsumerError) -> None:
        self.gaps.begin(self._nothing_lost_until)
        self.gaps.tell_soon(lambda: self.is_connected)
        self.dropped += 1
        if self.dropped.bit_count() == 1:  # each power of two: the log must not drown as well
            _log.warning("nats.slow_handler", subject=error.subject, dropped_in_all=self.dropped)

    async def note_disconnect(self) -> None:
        """nats-py's disconnect callback, called before it tries to connect again."""
        self.gaps.begin(self._nothing_lost_until)
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
        self.gaps.tell()


async def connect(url: str, *, name: str) -> NatsConnection:
    """Connect, and stay connected until closed.

    Args:
        url: `nats://host:port`, or several of one cluster, comma-separated; `tls://` where the connection must be
            encrypted. `user:password@` or `token@` may stand before the host, percent-encoded.
        name: what the server shows for this connection.

    Raises:
        Unavailable: no server answers there now, or none accepts the connection.
        FanoutError: the server accepts only messages that are too short for the services.
    """
    connection = NatsConnection()
    servers = [server.strip() for server in url.split(",")]
    try:
        # A failure of the first connection is reported. A later one is an outage, after which it reconnects.
        await connection.connect(
            servers=servers,
            name=name,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=_RECONNECT_WAIT_S,  # type: ignore[arg-type]  # declared int, used as seconds
            reconnect_to_server_handler=_next_server,
            connect_timeout=_CONNECT_WITHIN_S,
            ping_interval=_PING_INTERVAL_S,
            pending_size=0,  # so that the commands of one `write` are queued together, with no others between them
            error_cb=connection.note_error,
            disconnected_cb=connection.note_disconnect,
            reconnected_cb=connection.note_reconnect,
        )
    except (OSError, errors.Error) as error:
        await connection.close()
        why = "; ".join(connection.troubles) or str(error)
        raise Unavailable(f"no NATS server accepts the connection at {without_credentials(url)}: {why}") from error
    connection.options |= {"allow_reconnect": True, "max_reconnect_attempts": -1}
    await _refuse_short_messages(connection)
    return connection


async def _refuse_short_messages(connection: NatsConnection) -> None:
    if connection.max_payload < LEAST_PAYLOAD:
        await connection.close()
        raise FanoutError(
            f"the NATS server accepts only messages of up to {connection.max_payload:,} bytes: "
            f"set its max_payload to at least {LEAST_PAYLOAD:,}, better to 1MB"
        )


def _without_text(error: Exception) -> str:
    if isinstance(error, TimeoutError):  # a server of another protocol waits for the client to begin
        return f"no server there sent NATS's greeting within {_CONNECT_WITHIN_S} s"
    return type(error).__name__


def _next_server(servers: list[Server], _info: dict[str, Any]) -> tuple[Server, float]:
    server = machine.random_choice(servers)
    wait = _RECONNECT_WAIT_S if server.reconnects else _FIRST_RECONNECT_WAIT_S
    return server, wait * machine.random_between(1, 2)
