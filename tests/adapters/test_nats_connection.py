"""The connection: fails fast at first, then never gives up, and keeps nothing to be sent later."""

import asyncio
import inspect
from urllib.parse import urlparse

import pytest
from nats import errors
from nats.aio.client import Client, Server
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport
from nats.protocol.parser import Parser

from fanout import machine, subjects
from fanout.errors import FanoutError, TooLarge, Unavailable
from fanout.streams import MESSAGES
from services.adapters.nats import NatsBus, NatsConnection, connect, connection
from services.runtime.gaps import TOLD_AFTER_S
from tests.support import observing
from tests.support.nats import connected, connected_again, open_log
from tests.support.reading import PATIENCE_S, append_messages, soon, until
from tests.support.servers import ConfiguredNats, NatsServer, free_port


async def _notices_the_loss(nc: NatsConnection) -> None:
    async def lost() -> bool | None:
        return True if not nc.is_connected else None

    await until(lost)


class TestConnect:
    async def test_an_error_names_the_server_without_its_credentials(self) -> None:
        port = free_port()
        with pytest.raises(Unavailable, match=rf"nats://127\.0\.0\.1:{port}") as caught:
            await soon(connect(f"nats://someone:secret@127.0.0.1:{port}", name="test"))
        assert "secret" not in str(caught.value)
        assert "someone" not in str(caught.value)

    async def test_an_address_that_is_none_is_an_error(self) -> None:
        with pytest.raises(Unavailable, match="no NATS server accepts the connection"):
            await soon(connect("nats://127.0.0.1:port", name="test"))

    async def test_a_server_that_says_nothing_is_an_error(self, nats_server: NatsServer) -> None:
        nats_server.pause()
        with pytest.raises(Unavailable, match="no NATS server accepts the connection"):
            await soon(connect(nats_server.url, name="test"))

    async def test_one_of_several_is_enough(self, nats_url: str) -> None:
        async with connected(f"nats://127.0.0.1:{free_port()},{nats_url}") as nc:
            await nc.ping()

    async def test_an_error_says_what_happened_at_each_of_several(self) -> None:
        ports = free_port(), free_port()
        with pytest.raises(Unavailable) as caught:
            await soon(connect(", ".join(f"nats://127.0.0.1:{port}" for port in ports), name="test"))
        assert all(f"Connect call failed ('127.0.0.1', {port})" in str(caught.value) for port in ports)


@pytest.mark.parametrize(("failed", "at_least", "at_most"), [(0, 0.0, 0.05), (1, 0.25, 0.5), (99, 0.25, 0.5)])
def test_only_who_failed_to_reconnect_waits_for_long(failed: int, at_least: float, at_most: float) -> None:
    server = Server(urlparse("nats://127.0.0.1:4222"), reconnects=failed)
    chosen, wait = connection._next_server([server], {})
    assert chosen is server
    assert at_least <= wait <= at_most


class TestOutage:
    async def test_bytes_that_the_lost_connection_left_unsent_are_dropped(self, nats_server: NatsServer) -> None:
        async with connected(nats_server.url) as nc:
            log = await open_log(nc, 1)
            nats_server.kill()
            # Not yet noticed: the commands go into the client's buffer or the dead socket.
            with pytest.raises(Unavailable):
                await soon(log.append(subjects.message("general"), b"lost", msg_id="lost"))
            nats_server.start()
            await connected_again(nc)
            assert await log.last_seq(MESSAGES) == 0

    async def test_whoever_waits_for_an_answer_is_told_when_the_connection_is_lost(
        self, nats_server: NatsServer
    ) -> None:
        async with connected(nats_server.url) as nc:
            log = await open_log(nc, 1)
            nats_server.pause()
            waiting = [
                asyncio.create_task(nc.call("$JS.API.INFO", within=PATIENCE_S * 2)),
                asyncio.create_task(nc.ping(within=PATIENCE_S * 2)),
            ]
            await asyncio.sleep(0)
            nats_server.kill()
            for task in waiting:
                with pytest.raises(Unavailable):
                    await soon(task)
            nats_server.start()
            await connected_again(nc)
            await log.ping()

    async def test_a_frozen_server_is_unavailable_and_heard_again_when_it_goes_on(
        self, nats_server: NatsServer
    ) -> None:
        async with connected(nats_server.url) as nc:
            log = await open_log(nc, 1)
            nats_server.pause()
            with pytest.raises(Unavailable):
                await nc.ping(within=0.05)
            with pytest.raises(Unavailable):
                await soon(log.append(subjects.message("general"), b"x", msg_id="x"))
            nats_server.resume()
            await connected_again(nc)
            answer = await log.append(subjects.message("general"), b"x", msg_id="x")
            assert answer.seq == 1
            assert await log.last_seq(MESSAGES) == 1

    async def test_what_a_frozen_server_does_not_take_in_is_bounded(self, nats_server: NatsServer) -> None:
        async with connected(nats_server.url) as nc:
            bus = NatsBus(nc)
            nats_server.pause()
            block = bytes(512 * 1024)

            async def flood() -> None:
                while True:
                    await bus.publish("a.b", block)

            with pytest.raises(Unavailable, match="reads nothing from the connection"):
                await soon(flood())
            assert nc.pending_data_size < 16 * 1024 * 1024

    async def test_an_error_of_the_server_ends_a_connection_and_not_the_client(self, nats_url: str) -> None:
        async with connected(nats_url) as nc:
            back = asyncio.Event()
            nc.on_reconnect(back.set)
            await nc.write(b"NO SUCH COMMAND\r\n")
            await soon(back.wait())
            await nc.ping()

    async def test_a_listener_hears_of_reconnects_until_it_is_taken_off(self, nats_server: NatsServer) -> None:
        async with connected(nats_server.url) as nc:
            heard: list[str] = []
            back = asyncio.Event()
            forget = nc.on_reconnect(lambda: heard.append("first"))
            nc.on_reconnect(back.set)
            await asyncio.to_thread(nats_server.restart)
            await soon(back.wait())
            forget()
            back.clear()
            await asyncio.to_thread(nats_server.restart)
            await soon(back.wait())
            assert heard == ["first"]


class TestCancellation:
    async def test_one_that_comes_with_the_answer_is_heeded(self, nats_url: str) -> None:
        async with connected(nats_url) as nc:
            await nc.subscribe("a.b")  # it does not answer
            calling = asyncio.create_task(nc.call("a.b", within=PATIENCE_S))

            async def waited_for() -> asyncio.Future[Msg] | None:
                return next(iter(nc._resp_map.values()), None)

            (await until(waited_for)).set_result(Msg(nc))
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await soon(calling)
            assert nc._resp_map == {}


class TestLimits:
    async def test_a_payload_that_the_server_does_not_take_is_refused_here(self, nats_url: str) -> None:
        async with connected(nats_url) as nc:
            with pytest.raises(TooLarge, match="the server takes"):
                await NatsBus(nc).publish("a.b", bytes(nc.max_payload + 1))
            with pytest.raises(TooLarge, match="accepts"):
                await nc.call("a.b", bytes(nc.max_payload - 20), headers={"Nats-Msg-Id": "counts, too"})
            await nc.ping()
            assert nc.troubles == {}

    async def test_follow_the_server_that_a_reconnect_leads_to(self, small_nats: ConfiguredNats) -> None:
        async with connected(small_nats.url) as nc:
            bus = NatsBus(nc)
            assert bus.max_payload == 65_536
            small_nats.config = "max_payload: 128KB\n"
            await asyncio.to_thread(small_nats.restart)
            await connected_again(nc)
            assert bus.max_payload == 131_072

    async def test_a_server_that_takes_too_little_for_the_services_is_refused(self, small_nats: ConfiguredNats) -> None:
        small_nats.config = "max_payload: 4KB\n"
        await asyncio.to_thread(small_nats.restart)
        with pytest.raises(FanoutError, match="messages of up to 4,096 bytes: set its max_payload to at least 8,192"):
            await soon(connect(small_nats.url, name="test"))

    @pytest.mark.parametrize("subject", ["", "a b", "a\r\nPUB c 0\r\n", "a\tb"])
    async def test_a_subject_that_would_break_the_protocol_is_refused(self, nats_url: str, subject: str) -> None:
        async with connected(nats_url) as nc:
            with pytest.raises(ValueError, match="is not a subject"):
                await NatsBus(nc).publish_many([("a.b", b""), (subject, b"")])

    async def test_messages_that_a_slow_handler_never_saw_are_counted(self, nats_url: str) -> None:
        async with connected(nats_url) as nc:
            subscription = await nc.subscribe("a.b")
            error = errors.SlowConsumerError(subject="a.b", reply="", sid=1, sub=subscription)
            for _ in range(3):
                await nc.note_error(error)
            assert nc.dropped == 3

    async def test_what_a_slow_handler_never_saw_is_one_gap_since_the_last_answered_ping(self, nats_url: str) -> None:
        async with connected(nats_url) as nc:
            gaps = list[float]()
            NatsBus(nc).on_gap(gaps.append)
            answered = machine.monotonic_s()
            await nc.ping()
            subscription = await nc.subscribe("a.b")
            error = errors.SlowConsumerError(subject="a.b", reply="", sid=1, sub=subscription)
            for _ in range(3):
                await nc.note_error(error)
            await observing.until(lambda: gaps != [])
            assert len(gaps) == 1
            assert TOLD_AFTER_S <= gaps[0] <= machine.monotonic_s() - answered

    async def test_a_handler_that_raises_hears_the_next_message(self, nats_url: str) -> None:
        async with connected(nats_url) as nc:
            heard: list[bytes] = []

            def handler(subject: str, payload: bytes) -> None:
                heard.append(payload)
                raise RuntimeError(subject)

            bus = NatsBus(nc)
            subscription = await bus.subscribe("a.b", handler)
            await bus.publish_many([("a.b", b"1"), ("a.b", b"2")])
            await subscription.close()
            assert heard == [b"1", b"2"]


class TestPrivateNames:
    """What `services.adapters.nats.connection` uses beyond the public names of nats-py."""

    def test_attributes_of_a_client(self) -> None:
        client = vars(Client())
        kinds = {
            "_pending": list,
            "_pending_data_size": int,
            "_flush_queue": type(None),
            "_pongs": list,
            "_resp_map": dict,
        }
        assert {name: type(client[name]) for name in kinds} == kinds
        assert {"_err", "_transport", "_current_server"} <= client.keys()
        assert type(client["_ps"]) is Parser
        assert "self._ps.reset()" in inspect.getsource(Client._process_connect_init)
        assert "await self._ps.parse(b)" in inspect.getsource(Client._read_loop)

    @pytest.mark.parametrize(
        ("method", "parameters"),
        [
            ("_send_command", ["self", "cmd", "priority"]),
            ("_flush_pending", ["self", "force_flush"]),
            ("_send_ping", ["self", "future"]),
            ("_send_unsubscribe", ["self", "sid", "limit"]),
            ("_remove_sub", ["self", "sid", "max_msgs"]),
            ("_connect_command", ["self"]),
            ("_connect_to_server", ["self", "s"]),
            ("_process_err", ["self", "err_msg"]),
            ("_process_op_err", ["self", "e"]),
        ],
    )
    def test_methods_of_a_client(self, method: str, parameters: list[str]) -> None:
        assert list(inspect.signature(getattr(Client, method)).parameters) == parameters

    async def test_attributes_of_a_subscription(self, nats_url: str) -> None:
        async with connected(nats_url) as nc:
            subscription = await nc.subscribe("a.b")
            assert isinstance(subscription._pending_queue, asyncio.Queue)
            assert isinstance(subscription._id, int)
            assert list(inspect.signature(Subscription._stop_processing).parameters) == ["self"]

    def test_attributes_of_a_transport(self) -> None:
        assert "_io_writer" in vars(TcpTransport())  # type: ignore[no-untyped-call]


async def test_requests_while_down_leave_nothing_behind(nats_server: NatsServer) -> None:
    async with connected(nats_server.url) as nc:
        log = await open_log(nc, 1)
        await append_messages(log, "general", [1])
        nats_server.kill()
        await _notices_the_loss(nc)
        for _ in range(10):
            with pytest.raises(Unavailable):
                await log.append(subjects.message("general"), b"x", msg_id="x")
        assert nc._resp_map == {}
