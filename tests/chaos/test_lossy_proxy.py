import random

from nats.aio.msg import Msg

from tests.chaos.lossy_proxy import Losses, LossyProxy
from tests.chaos.programs import Program
from tests.support.nats import connected
from tests.support.observing import until
from tests.support.servers import NatsServer

COUNT = 2000


async def test_only_messages_to_inboxes_of_instances_are_lost(nats_url: str) -> None:
    losses = Losses(0.1, random.Random(1))
    server_port = int(nats_url.rpartition(":")[2])
    async with LossyProxy(server_port, losses).listening() as port, connected(f"nats://127.0.0.1:{port}") as behind:
        heard: dict[str, list[int]] = {"instance.events.a": [], "instance.control.a": [], "end": []}

        async def hear(msg: Msg) -> None:
            heard[msg.subject].append(int(msg.data))

        for subject in heard:
            await behind.subscribe(subject, cb=hear)
        await behind.ping()
        async with connected(nats_url) as before:
            for number in range(COUNT):
                for subject in ("instance.events.a", "instance.control.a"):
                    await before.publish(subject, b"%d" % number)
            await before.publish("end", b"0")
        await until(lambda: bool(heard["end"]))
    assert heard["instance.control.a"] == list(range(COUNT))
    arrived = heard["instance.events.a"]
    assert arrived == sorted(set(arrived))
    assert losses.passed == len(arrived)
    assert losses.dropped == COUNT - len(arrived)
    assert 0.05 * COUNT < losses.dropped < 0.2 * COUNT


async def test_a_restart_of_the_server_is_seen_through_it(nats_server: NatsServer) -> None:
    async with (
        LossyProxy(nats_server.port, Losses(0.0, random.Random(1))).listening() as port,
        connected(f"nats://127.0.0.1:{port}") as behind,
    ):
        reconnects: list[None] = []
        behind.on_reconnect(lambda: reconnects.append(None))
        nats_server.kill()
        await until(lambda: not behind.is_connected, "the connection lost")
        nats_server.start()
        await until(lambda: bool(reconnects), "a reconnect")
        await behind.ping()


async def test_as_a_program_it_tells_its_port_and_ends_with_its_input(nats_server: NatsServer) -> None:
    program = await Program.start("lossy_proxy", str(nats_server.port), "--drop", "1.0")
    port = await program.tells("port", bool, 30)
    async with connected(f"nats://127.0.0.1:{port}") as nc:
        await nc.subscribe("instance.events.>")
        await nc.publish("instance.events.a", b"x")
        assert await program.tells("dropped", bool, 30) == 1
        assert program.told["passed"] == 0
    await program.end()
